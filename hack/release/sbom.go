package main

import (
	"fmt"
	"os"
	"runtime/debug"

	cdx "github.com/CycloneDX/cyclonedx-go"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// authoritiesModule is where the certificate authorities come from.
const authoritiesModule = "golang.org/x/crypto/x509roots/fallback"

// describe writes the SBOM of an image: that of the binary in it, and the certificate authorities.
func (r release) describe(image v1.Image, architecture string) error {
	bom, err := readSBOM(r.binary(architecture) + ".cdx.json")
	if err != nil {
		return err
	}
	digest, err := image.Digest()
	if err != nil {
		return err
	}
	certificates, err := certificatesComponent()
	if err != nil {
		return err
	}
	program := *bom.Metadata.Component
	components := append([]cdx.Component{program, certificates}, *bom.Components...)
	bom.Components = &components

	purl := fmt.Sprintf("pkg:oci/%s@%s?arch=%s", name, digest, architecture)
	bom.Metadata.Component = &cdx.Component{
		BOMRef: purl, Type: cdx.ComponentTypeContainer, Name: name, Version: r.version, PackageURL: purl,
	}
	holds := append([]cdx.Dependency{{Ref: purl, Dependencies: &[]string{program.BOMRef, certificates.BOMRef}}}, *bom.Dependencies...)
	bom.Dependencies = &holds
	return writeSBOM(fmt.Sprintf("%s/%s_%s_image_%s.cdx.json", r.dist, name, r.version, architecture), bom)
}

// certificatesComponent names the version that this program was built with.
func certificatesComponent() (cdx.Component, error) {
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, module := range info.Deps {
			if module.Path == authoritiesModule {
				purl := "pkg:golang/" + module.Path + "@" + module.Version
				return cdx.Component{
					BOMRef: purl, Type: cdx.ComponentTypeData, Name: module.Path, Version: module.Version, PackageURL: purl,
				}, nil
			}
		}
	}
	return cdx.Component{}, fmt.Errorf("this program does not say which %s it was built with", authoritiesModule)
}

func readSBOM(path string) (*cdx.BOM, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	bom := cdx.NewBOM()
	if err := cdx.NewBOMDecoder(file, cdx.BOMFileFormatJSON).Decode(bom); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if bom.Metadata == nil || bom.Metadata.Component == nil || bom.Components == nil || bom.Dependencies == nil {
		return nil, fmt.Errorf("%s names no component, or nothing that it depends on", path)
	}
	return bom, nil
}

func writeSBOM(path string, bom *cdx.BOM) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := cdx.NewBOMEncoder(file, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bom); err != nil {
		return err
	}
	return file.Close()
}
