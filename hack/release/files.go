package main

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// user is nonroot, as in the image of the Dockerfile.
const user = 65532

// file is one of a layer; its time is always the same, and it belongs to root.
type file struct {
	path    string
	mode    int64
	content []byte
}

// systemLayer is what a program finds in any system: certificate authorities, and the names of users.
func systemLayer() (v1.Layer, error) {
	return layer([]file{
		{"etc/passwd", 0o644, fmt.Appendf(nil, "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:%[1]d:%[1]d:nonroot:/:/sbin/nologin\n", user)},
		{"etc/group", 0o644, fmt.Appendf(nil, "root:x:0:\nnonroot:x:%d:\n", user)},
		{"etc/ssl/certs/ca-certificates.crt", 0o644, authorities()},
	})
}

func (r release) binaryLayer(architecture string) (v1.Layer, error) {
	content, err := os.ReadFile(r.binary(architecture))
	if err != nil {
		return nil, err
	}
	return layer([]file{{name, 0o755, content}})
}

// binary is where the binary of an architecture is.
func (r release) binary(architecture string) string {
	return filepath.Join(r.dist, fmt.Sprintf("%s_%s_linux_%s", name, r.version, architecture))
}

// authorities are those that Mozilla trusts without reserve: a PEM file can't say for what or until when one is trusted.
func authorities() []byte {
	var all bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			all.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}))
		}
	}
	return all.Bytes()
}

// layer packs files, and the folders that they are in, in the order that is given.
func layer(files []file) (v1.Layer, error) {
	var packed bytes.Buffer
	writer := tar.NewWriter(&packed)
	folders := map[string]bool{".": true}
	for _, file := range files {
		if err := writeFolder(writer, filepath.Dir(file.path), folders); err != nil {
			return nil, err
		}
		header := &tar.Header{Typeflag: tar.TypeReg, Name: file.path, Mode: file.mode, Size: int64(len(file.content))}
		if err := writer.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := writer.Write(file.content); err != nil {
			return nil, err
		}
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer))
}

// writeFolder writes a folder after those that it is in, each once.
func writeFolder(writer *tar.Writer, path string, written map[string]bool) error {
	if written[path] {
		return nil
	}
	written[path] = true
	if err := writeFolder(writer, filepath.Dir(path), written); err != nil {
		return err
	}
	return writer.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: path + "/", Mode: 0o755})
}
