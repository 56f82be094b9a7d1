package main

import (
	"fmt"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// config is the configuration of an image that has its layers: what the Dockerfile says.
func (r release) config(image v1.Image, architecture string) (*v1.ConfigFile, error) {
	built, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config := built.DeepCopy()
	config.OS, config.Architecture = "linux", architecture
	config.Created = v1.Time{Time: r.created}
	config.Config = v1.Config{
		User:       fmt.Sprintf("%[1]d:%[1]d", user),
		WorkingDir: "/",
		Entrypoint: []string{"/" + name},
		Env:        []string{"SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"},
		Labels:     r.labels(),
	}
	return config, nil
}

// labels are those that registries show, and annotations of the index.
func (r release) labels() map[string]string {
	const at = "org.opencontainers.image."
	return map[string]string{
		at + "title":       name,
		at + "description": "Keeps Seam client session tokens in Kubernetes Secrets",
		at + "licenses":    "Apache-2.0",
		at + "source":      "https://github.com/seam-session-operator/seam-session-operator",
		at + "version":     r.version,
		at + "revision":    r.revision,
		at + "created":     r.created.Format(time.RFC3339),
	}
}
