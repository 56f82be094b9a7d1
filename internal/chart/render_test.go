package chart

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/util/jsonpath"
	sigsyaml "sigs.k8s.io/yaml"
)

// release is what the chart renders, by kind and name.
type release map[string]*unstructured.Unstructured

// render renders the chart with some values, as YAML, under the name that the manifests have.
func render(ctx context.Context, values string) release {
	GinkgoHelper()
	rendered, err := template(ctx, values)
	Expect(err).NotTo(HaveOccurred())
	return parse(rendered)
}

func template(ctx context.Context, values string) (string, error) {
	command := exec.CommandContext(ctx, helm, "template", "seam-session-operator", "config/chart",
		"--namespace="+systemNamespace, "--values=-")
	command.Dir = root
	command.Stdin = strings.NewReader(values)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	rendered, err := command.Output()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, &stderr)
	}
	return string(rendered), err
}

// parse is as strict as the strictest of those who read manifests: no key stands twice.
func parse(manifests string) release {
	GinkgoHelper()
	objects := release{}
	documents := yaml.NewYAMLReader(bufio.NewReader(strings.NewReader(manifests)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects
		}
		Expect(err).NotTo(HaveOccurred())
		content, err := sigsyaml.YAMLToJSONStrict(document)
		Expect(err).NotTo(HaveOccurred(), string(document))
		if string(content) == "null" {
			continue
		}
		object := &unstructured.Unstructured{}
		Expect(object.UnmarshalJSON(content)).To(Succeed(), string(document))
		key := object.GetKind() + "/" + object.GetName()
		if namespace := object.GetNamespace(); namespace != "" && namespace != systemNamespace {
			key += "." + namespace
		}
		Expect(objects).NotTo(HaveKey(key))
		objects[key] = object
	}
}

// field is what stands at a JSON path of an object, as text; empty if there is no such field or object.
func (r release) field(key, path string) string {
	GinkgoHelper()
	object, ok := r[key]
	if !ok {
		return ""
	}
	parsed := jsonpath.New(key).AllowMissingKeys(true)
	Expect(parsed.Parse("{" + path + "}")).To(Succeed())
	var text bytes.Buffer
	Expect(parsed.Execute(&text, object.Object)).To(Succeed())
	return text.String()
}

// leaves are the paths of a tree of values down to what is no map, or an empty one.
func leaves(prefix string, value any) []string {
	fields, ok := value.(map[string]any)
	if !ok || (len(fields) == 0 && prefix != "") {
		return []string{prefix}
	}
	var paths []string
	for name, field := range fields {
		paths = append(paths, leaves(strings.TrimPrefix(prefix+"."+name, "."), field)...)
	}
	return paths
}

func parseValues(text string) map[string]any {
	GinkgoHelper()
	values := map[string]any{}
	Expect(sigsyaml.Unmarshal([]byte(text), &values)).To(Succeed())
	return values
}

func readFile(path string) string {
	GinkgoHelper()
	content, err := os.ReadFile(filepath.Join(root, path))
	Expect(err).NotTo(HaveOccurred())
	return string(content)
}
