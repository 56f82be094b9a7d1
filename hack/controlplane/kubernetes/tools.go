//go:build tools

// Package kubernetes names the commands to build; hack/controlplane/pin.sh writes this module.
package kubernetes

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
