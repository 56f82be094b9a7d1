//go:build tools

// Package etcd names the commands to build; hack/controlplane/pin.sh writes this module.
package etcd

import (
	_ "go.etcd.io/etcd/server/v3"
)
