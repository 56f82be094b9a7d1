// Command release puts the operator's binaries into images, one for each platform, built from scratch: the binary, the
// certificate authorities of Mozilla, and a user who is not root. It needs neither a daemon nor a registry. It writes an OCI
// image layout of all of them and an SBOM of each, and prints the digest of the index. The same binaries make the same bytes.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// name is that of the operator: of its binaries, its image, and the file in it.
const name = "seam-session-operator"

// release is what the images of one version have in common.
type release struct {
	dist, version, revision string
	created                 time.Time
}

func main() {
	var r release
	var epoch int64
	flag.StringVar(&r.dist, "dist", "", "folder with the binaries and their SBOMs; the layout goes there, into image/")
	flag.StringVar(&r.version, "version", "", "version of the release")
	flag.StringVar(&r.revision, "revision", "", "commit that it is made from")
	flag.Int64Var(&epoch, "epoch", 0, "time of that commit, in seconds since 1970")
	flag.Parse()
	r.created = time.Unix(epoch, 0).UTC()

	digest, err := r.images(flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
	fmt.Println(digest)
}

// images writes the images for these architectures, and returns the digest of their index.
func (r release) images(architectures []string) (v1.Hash, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, architecture := range architectures {
		image, err := r.image(architecture)
		if err != nil {
			return v1.Hash{}, err
		}
		if err := r.describe(image, architecture); err != nil {
			return v1.Hash{}, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        image,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: architecture}},
		})
	}
	index = mutate.Annotations(index, r.labels()).(v1.ImageIndex)
	digest, err := index.Digest()
	if err != nil {
		return v1.Hash{}, err
	}
	path, err := layout.Write(filepath.Join(r.dist, "image"), empty.Index)
	if err != nil {
		return v1.Hash{}, err
	}
	tag := layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": r.version})
	return digest, path.AppendIndex(index, tag)
}

// image is that of one architecture: two layers, of which the first is the same in every release with the same authorities.
func (r release) image(architecture string) (v1.Image, error) {
	system, err := systemLayer()
	if err != nil {
		return nil, err
	}
	binary, err := r.binaryLayer(architecture)
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	created := v1.Time{Time: r.created}
	history := v1.History{Created: created, CreatedBy: "make release"}
	image, err = mutate.Append(image, mutate.Addendum{Layer: system, History: history}, mutate.Addendum{Layer: binary, History: history})
	if err != nil {
		return nil, err
	}
	config, err := r.config(image, architecture)
	if err != nil {
		return nil, err
	}
	return mutate.ConfigFile(image, config)
}
