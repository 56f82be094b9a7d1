package chart

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	sigsyaml "sigs.k8s.io/yaml"
)

// everything turns on all that is off by default.
const everything = `
image: {pullPolicy: Never}
imagePullSecrets: [{name: pull}]
seam: {endpoint: "http://10.0.0.1:8080/base", allowHTTP: true, ca: {secret: roots}}
commonLabels: {team: access}
commonAnnotations: {team: access}
podLabels: {mesh: "off"}
podAnnotations: {mesh: "off"}
extraEnv: [{name: HTTPS_PROXY, value: "http://proxy:3128"}, {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]
priorityClassName: system-cluster-critical
nodeSelector: {disk: fast}
tolerations: [{key: dedicated, operator: Exists}]
affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, podAffinityTerm: {topologyKey: zone}}]}}
topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}]
metrics:
  certificateSecret: tls
  serviceMonitor: {create: true, interval: 30s}
  prometheusRule: {create: true}
  dashboard: {create: true}
podDisruptionBudget: {create: true}
networkPolicy: {create: true, metricsFrom: [{namespaceSelector: {}}], extraEgress: [{ports: [{port: 8443}]}]}
`

var _ = Describe("What the chart renders", func() {
	It("passes helm lint --strict", func(ctx SpecContext) {
		output(ctx, helm, "lint", "--strict", "config/chart")
	})

	DescribeTable("is taken by the API server, every field of it", func(ctx SpecContext, values string) {
		for key, object := range render(ctx, values) {
			if object.GetNamespace() == "" && namespaced(object) {
				object.SetNamespace(systemNamespace)
			}
			var err error
			if object.GetKind() == "CustomResourceDefinition" { // which is there
				err = api.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.DryRunAll, client.ForceOwnership, client.FieldOwner("test"))
			} else {
				err = api.Create(ctx, object, client.DryRunAll, client.FieldValidation("Strict"))
			}
			Expect(err).NotTo(HaveOccurred(), key)
		}
	},
		Entry("with default values", ``),
		Entry("with everything on", everything),
		Entry("in two namespaces", `watchNamespaces: [shop, garage]`),
		Entry("with several replicas that must stay", `{replicas: 3, podDisruptionBudget: {create: true, minAvailable: 2}}`),
		Entry("with nothing that can be left out", `{crds: {install: false}, rbac: {create: false, aggregate: false}, serviceAccount: {create: false}, metrics: {enabled: false}, resources: null}`),
	)

	It("has each label and annotation once, and the chart's own win", func(ctx SpecContext) {
		own := render(ctx, everything+watched)
		theirs := map[string]any{}
		for _, of := range own {
			for where := range metadataIn(of.Object, "") {
				_, label, _ := strings.Cut(where, " ")
				theirs[label] = "theirs"
			}
		}
		Expect(theirs).To(And(HaveKey("app.kubernetes.io/name"), HaveKey("app.kubernetes.io/part-of"), HaveKey("helm.sh/hook"), HaveKey("severity")))
		theirs["helm.sh/hook"] = "pre-delete" // Helm leaves out what has one that there is not
		values := parseValues(everything + watched)
		for _, path := range leaves("", parseValues(readFile("config/chart/values.yaml"))) {
			path = strings.TrimSuffix(path, ".grafana_dashboard")
			if strings.HasSuffix(strings.ToLower(path), "labels") || strings.HasSuffix(strings.ToLower(path), "annotations") {
				Expect(unstructured.SetNestedMap(values, theirs, strings.Split(path, ".")...)).To(Succeed())
			}
		}
		rendered := render(ctx, toYAML(values))
		for key, object := range own {
			Expect(rendered).To(HaveKey(key))
			got := metadataIn(rendered[key].Object, "")
			for where, value := range metadataIn(object.Object, "") {
				_, label, _ := strings.Cut(where, " ")
				if !slices.Contains([]string{"team", "mesh", "grafana_dashboard"}, label) { // those are of the values
					Expect(got).To(HaveKeyWithValue(where, value), key)
				}
			}
		}
	})

	It("is taken with the values of the sample of a namespaced install", func(ctx SpecContext) {
		for key, object := range render(ctx, readFile("config/samples/values_namespaced.yaml")) {
			if object.GetKind() != "CustomResourceDefinition" {
				Expect(api.Create(ctx, object, client.DryRunAll, client.FieldValidation("Strict"))).To(Succeed(), key)
			}
		}
	})

	It("is what config/default has", func(ctx SpecContext) {
		manifests := parse(output(ctx, "go", "tool", "-modfile=hack/tools/go.mod", "kustomize", "build", "config/default"))
		Expect(manifests).To(HaveKey("Namespace/" + systemNamespace))
		delete(manifests, "Namespace/"+systemNamespace) // helm install --create-namespace
		chart := render(ctx, ``)
		delete(chart, "Pod/seam-session-operator-test")
		Expect(slices.Sorted(maps.Keys(chart))).To(Equal(slices.Sorted(maps.Keys(manifests))))
		for key, object := range chart {
			Expect(plain(object)).To(Equal(plain(manifests[key])), key)
		}
	})

	It("gives roles in the watched namespaces alone", func(ctx SpecContext) {
		rendered := render(ctx, `watchNamespaces: [shop, garage]`)
		var wide []string
		for key, object := range rendered {
			if object.GetNamespace() == "" {
				wide = append(wide, key)
			}
		}
		Expect(wide).To(ConsistOf(
			"CustomResourceDefinition/seamclientsessions.connect.seam.co", "CustomResourceDefinition/seamworkspaces.connect.seam.co",
			"ClusterRole/seam-session-operator-metrics-auth", "ClusterRoleBinding/seam-session-operator-metrics-auth",
			"ClusterRole/seam-session-operator-metrics-reader",
		))
		for _, namespace := range []string{"shop", "garage"} {
			Expect(rendered.field("Role/seam-session-operator."+namespace, ".rules[1].resources")).To(Equal(`["secrets"]`))
			Expect(rendered.field("RoleBinding/seam-session-operator."+namespace, ".subjects[0].namespace")).To(Equal(systemNamespace))
		}
	})

	It("goes with samples that the API server takes, every field of them", func(ctx SpecContext) {
		samples := parse(output(ctx, "go", "tool", "-modfile=hack/tools/go.mod", "kustomize", "build", "config/samples"))
		Expect(samples).To(HaveLen(12))
		for key, object := range samples {
			object.SetNamespace(shop)
			Expect(api.Create(ctx, object, client.DryRunAll, client.FieldValidation("Strict"))).To(Succeed(), key)
		}
	})

	It("has a file in the chart for each of the rules that the manifests have", func() {
		roles, err := filepath.Glob(filepath.Join(root, "config/rbac/*role.yaml"))
		Expect(err).NotTo(HaveOccurred())
		Expect(roles).NotTo(BeEmpty())
		for _, role := range roles {
			content, err := os.ReadFile(role)
			Expect(err).NotTo(HaveOccurred())
			Expect(readFile("config/chart/files/rbac/" + filepath.Base(role))).To(Equal(string(content)))
		}
	})
})

// watched adds to everything what an installation in all namespaces has not.
const watched = "watchNamespaces: [shop]\nrbac: {aggregate: true}\n"

// metadataIn are the labels and annotations anywhere in a tree, by their path, a space, and the key.
func metadataIn(tree any, path string) map[string]any {
	found := map[string]any{}
	switch tree := tree.(type) {
	case map[string]any:
		for name, value := range tree {
			if name == "properties" { // of a CRD: there they are fields
				continue
			}
			if fields, ok := value.(map[string]any); ok && (name == "labels" || name == "annotations") {
				for key, value := range fields {
					found[path+"."+name+" "+key] = value
				}
			} else {
				maps.Copy(found, metadataIn(value, path+"."+name))
			}
		}
	case []any:
		for i, value := range tree {
			maps.Copy(found, metadataIn(value, fmt.Sprintf("%s[%d]", path, i)))
		}
	}
	return found
}

func toYAML(value any) string {
	GinkgoHelper()
	text, err := sigsyaml.Marshal(value)
	Expect(err).NotTo(HaveOccurred())
	return string(text)
}

// namespaced says whether objects of that kind are in a namespace.
func namespaced(object *unstructured.Unstructured) bool {
	return !strings.HasPrefix(object.GetKind(), "Cluster") && object.GetKind() != "CustomResourceDefinition"
}

// plain is an object without what Helm alone puts on it.
func plain(object *unstructured.Unstructured) map[string]any {
	result := object.DeepCopy()
	labels := result.GetLabels()
	for _, label := range []string{"helm.sh/chart", "app.kubernetes.io/version", "app.kubernetes.io/managed-by"} {
		delete(labels, label)
	}
	result.SetLabels(labels)
	annotations := result.GetAnnotations()
	delete(annotations, "helm.sh/resource-policy")
	result.SetAnnotations(annotations)
	return result.Object
}

// metricsIn are the names of metrics in what a person or an alert asks Prometheus.
func metricsIn(ctx context.Context) []string {
	GinkgoHelper()
	rendered := render(ctx, monitored)
	text := rendered.field(rules, ".spec.groups[*].rules[*].expr") +
		rendered.field("ConfigMap/seam-session-operator-dashboard", ".data")
	names := metricName.FindAllString(text, -1)
	slices.Sort(names)
	return slices.Compact(names)
}
