package v1alpha1_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

const (
	oneOfNamespaces = "set exactly one of names and selector"
	interval        = "must be a duration such as 30s, 10m or 1h30m, or 0s"
	shortInterval   = "must be at least 10s, or 0s to turn it off"
	labelKey        = "every key must be a label key such as team or example.com/team"
)

// grant is a spec with one grant, to these namespaces.
func grant(namespaces string) string { return `{grants: [{namespaces: ` + namespaces + `}]}` }

// labelled is a spec with one grant, to namespaces with these labels.
func labelled(labels string) string { return grant(`{selector: {matchLabels: ` + labels + `}}`) }

// prefixed is a spec with one grant, for these prefixes.
func prefixed(prefixes string) string {
	return `{grants: [{namespaces: {names: [shop]}, userIdentifierKeyPrefixes: ` + prefixes + `}]}`
}

// polled is a spec with this interval.
func polled(interval string) string { return `{events: {pollInterval: ` + interval + `}}` }

// list is n different elements in YAML.
func list(n int) string {
	var elements []string
	for i := range n {
		elements = append(elements, fmt.Sprint("e", i))
	}
	return "[" + strings.Join(elements, ", ") + "]"
}

// Every rule and bound of the kind, as for SeamClientSessions.
var _ = DescribeTable("A workspace's spec is validated", func(ctx context.Context, accepted, rejected, message string) {
	_, err := createWorkspace(ctx, "production", accepted, client.DryRunAll)
	Expect(err).NotTo(HaveOccurred(), "accepted")
	_, err = createWorkspace(ctx, "production", rejected, client.DryRunAll)
	Expect(err).To(MatchError(ContainSubstring(message)), "rejected")
},
	Entry("a credential is needed", `{}`, `{credentialSecretRef: null}`, "spec.credentialSecretRef: Required value"),
	Entry("the credential's Secret is named", `{}`, `{credentialSecretRef: {name: null}}`, "spec.credentialSecretRef.name: Required value"),
	Entry("the credential's Secret has a name", `{}`, `{credentialSecretRef: {name: ""}}`, "spec.credentialSecretRef.name in body should be at least 1 chars long"),
	Entry("the credential's Secret is named properly", `{credentialSecretRef: {name: production}}`, `{credentialSecretRef: {name: -a}}`, secretName),
	Entry("the credential's key is one", `{credentialSecretRef: {key: A.b-_1}}`, `{credentialSecretRef: {key: a b}}`, secretKey),

	Entry("workspaceID is not empty", `{workspaceID: w}`, `{workspaceID: ""}`, "spec.workspaceID in body should be at least 1 chars long"),
	Entry("workspaceID is short", `{workspaceID: `+x(64)+`}`, `{workspaceID: `+x(65)+`}`, "spec.workspaceID: Too long: may not be more than 64"),
	Entry("workspaceID is an ID", `{workspaceID: seed_workspace_1}`, `{workspaceID: "a/b"}`, "must be the ID of a Seam workspace, made of letters, digits, '_' and '-', such as"),

	Entry("a grant says to whom", `{grants: []}`, `{grants: [{}]}`, "spec.grants[0].namespaces: Required value"),
	Entry("a grant says to whom in a way", `{}`, grant(`{}`), oneOfNamespaces),
	Entry("a grant says to whom in one way", labelled(`{a: b}`), grant(`{names: [a], selector: {matchLabels: {a: b}}}`), oneOfNamespaces),
	Entry("a grant is for something that is known", `{grants: [{namespaces: {names: [a]}, allow: [Read, Provision]}]}`, `{grants: [{namespaces: {names: [a]}, allow: [Delete]}]}`, `supported values: "Read", "Provision"`),
	Entry("a grant is for something", `{grants: [{namespaces: {names: [a]}, allow: [Provision]}]}`, `{grants: [{namespaces: {names: [a]}, allow: []}]}`, "should have at least 1 items"),
	Entry("associations are IDs", `{grants: [{namespaces: {names: [a]}, associations: {connectedAccountIDs: [a], connectWebviewIDs: [b], userIdentityIDs: [c]}}]}`, `{grants: [{namespaces: {names: [a]}, associations: {userIdentityIDs: ["*"]}}]}`, "must be an ID that Seam gave"),
	Entry("grants are few", `{grants: [`+strings.Repeat(`{namespaces: {names: [a]}}, `, 64)+`]}`, `{grants: [`+strings.Repeat(`{namespaces: {names: [a]}}, `, 65)+`]}`, "spec.grants: Too many: 65: must have at most 64"),

	Entry("names are some", grant(`{names: [a]}`), grant(`{names: []}`), "spec.grants[0].namespaces.names in body should have at least 1 items"),
	Entry("names are few", grant(`{names: `+list(256)+`}`), grant(`{names: `+list(257)+`}`), "spec.grants[0].namespaces.names: Too many: 257: must have at most 256"),
	Entry("names differ", grant(`{names: [a, b]}`), grant(`{names: [a, a]}`), "spec.grants[0].namespaces.names[1]: Duplicate value"),
	Entry("names are not empty", grant(`{names: [a]}`), grant(`{names: [""]}`), "spec.grants[0].namespaces.names[0] in body should be at least 1 chars long"),
	Entry("names are short", grant(`{names: [`+x(63)+`]}`), grant(`{names: [`+x(64)+`]}`), "spec.grants[0].namespaces.names[0]: Too long: may not be more than 63"),
	Entry("names are names", grant(`{names: [a-1, "1"]}`), grant(`{names: [a, Shop]}`), namespaceName),
	Entry("names are no patterns", grant(`{names: [shop-a]}`), grant(`{names: ["shop-*"]}`), namespaceName),

	Entry("a selector selects", labelled(`{a: b}`), grant(`{selector: {}}`), "spec.grants[0].namespaces.selector.matchLabels: Required value"),
	Entry("a selector does not select all", labelled(`{a: b}`), labelled(`{}`), "spec.grants[0].namespaces.selector.matchLabels in body should have at least 1 properties"),
	Entry("a selector has few labels", labelled(entries(16)), labelled(entries(17)), "spec.grants[0].namespaces.selector.matchLabels: Too many: 17: must have at most 16"),
	Entry("a selector has labels' keys", labelled(`{team: a, example.com/te_am.A-b: a, kubernetes.io/metadata.name: a}`), labelled(`{-team: a}`), labelKey),
	Entry("a selector has labels' keys that are not empty", labelled(`{a: a}`), labelled(`{"": a}`), labelKey),
	Entry("a selector has short prefixes", labelled(`{`+x(253)+`/a: a}`), labelled(`{`+x(254)+`/a: a}`), labelKey),
	Entry("a selector has short keys", labelled(`{`+x(63)+`: a}`), labelled(`{`+x(64)+`: a}`), labelKey),
	Entry("a selector has labels' values", labelled(`{a: "", b: A.b-_1}`), labelled(`{a: a b}`), "must be a label value: at most 63 letters"),
	Entry("a selector has short values", labelled(`{a: `+x(63)+`}`), labelled(`{a: `+x(64)+`}`), "spec.grants[0].namespaces.selector.matchLabels.a: Too long: may not be more than 63"),

	Entry("prefixes are some", prefixed(`[shop-]`), prefixed(`[]`), "spec.grants[0].userIdentifierKeyPrefixes in body should have at least 1 items"),
	Entry("prefixes are few", prefixed(list(64)), prefixed(list(65)), "spec.grants[0].userIdentifierKeyPrefixes: Too many: 65: must have at most 64"),
	Entry("prefixes differ", prefixed(`[a, b]`), prefixed(`[a, a]`), "spec.grants[0].userIdentifierKeyPrefixes[1]: Duplicate value"),
	Entry("prefixes are not empty", prefixed(`["é "]`), prefixed(`[""]`), "spec.grants[0].userIdentifierKeyPrefixes[0] in body should be at least 1 chars long"),
	Entry("prefixes are bounded", prefixed(`[`+x(512)+`]`), prefixed(`[`+x(513)+`]`), "spec.grants[0].userIdentifierKeyPrefixes[0]: Too long: may not be more than 512"),

	Entry("pollInterval is a duration", polled(`1h30m`), polled(`1d`), interval),
	Entry("pollInterval has no fraction", polled(`90s`), polled(`1.5m`), interval),
	Entry("pollInterval has no sign", polled(`30s500ms`), polled(`-30s`), interval),
	Entry("pollInterval is a string", polled(`99999h`), polled(`60`), "spec.events.pollInterval in body must be of type string"),
	Entry("pollInterval is not too short", polled(`10s`), polled(`9s`), shortInterval),
	Entry("pollInterval is not too short by a bit", polled(`10s1ms`), polled(`9s999ms`), shortInterval),
	Entry("pollInterval may be nothing", polled(`0s`), polled(`1ms`), shortInterval),
	Entry("pollInterval is short to read", polled(`00001h00001m00001s00001ms`), polled(strings.Repeat("1", 32)+`s`), "spec.events.pollInterval: Too long"),
)

var _ = Describe("A SeamWorkspace", func() {
	It("has defaults", func(ctx context.Context) {
		want := v1alpha1.SeamWorkspaceSpec{
			CredentialSecretRef: v1alpha1.CredentialReference{Name: "seam", Key: v1alpha1.DefaultCredentialKey},
			Events:              v1alpha1.WorkspaceEvents{PollInterval: &metav1.Duration{Duration: 30 * time.Second}},
		}
		for _, spec := range []string{`{}`, `{events: {}}`} {
			workspace, err := createWorkspace(ctx, "defaults", spec, client.DryRunAll)
			Expect(err).NotTo(HaveOccurred())
			Expect(workspace.Spec).To(Equal(want))
		}
	})

	It("keeps what is given, every field of it", func(ctx context.Context) {
		given := parse(`{credentialSecretRef: {name: a, key: b}, workspaceID: ws1, events: {pollInterval: 0s}, grants: [
			{namespaces: {names: [shop, garage]}, userIdentifierKeyPrefixes: [shop-, garage-], allow: [Provision],
				associations: {connectedAccountIDs: [e], connectWebviewIDs: [f], userIdentityIDs: [g]}},
			{namespaces: {selector: {matchLabels: {c: d}}}, allow: [Read]}]}`)
		object := minimalWorkspace("everything")
		object.Object["spec"] = given
		sent := object.DeepCopy()
		Expect(api.Create(ctx, object, client.DryRunAll)).To(Succeed())
		Expect(object.Object["spec"]).To(Equal(sent.Object["spec"]))
	})

	It("has a status of its own, which does not change the spec", func(ctx context.Context) {
		object := minimalWorkspace("status")
		object.Object["status"] = map[string]any{"workspaceID": "forged"}
		Expect(api.Create(ctx, object)).To(Succeed())
		DeferCleanup(func(ctx context.Context) error { return api.Delete(ctx, object) })
		workspace := &v1alpha1.SeamWorkspace{}
		Expect(api.Get(ctx, client.ObjectKeyFromObject(object), workspace)).To(Succeed())
		Expect(workspace.Status).To(BeZero(), "a user who creates can't set it")

		workspace.Spec.WorkspaceID, workspace.Status.WorkspaceID = "changed", "ws1"
		Expect(api.Status().Update(ctx, workspace)).To(Succeed())
		Expect(workspace.Spec.WorkspaceID).To(BeEmpty())
		Expect(workspace.Generation).To(BeEquivalentTo(1))
		workspace.Status.WorkspaceID = "forged"
		Expect(api.Update(ctx, workspace)).To(Succeed())
		Expect(workspace.Status.WorkspaceID).To(Equal("ws1"), "a user who updates can't change it")
	})

	It("shows in kubectl what one needs to know", func(ctx context.Context) {
		workspace, err := createWorkspace(ctx, "columns", `{}`)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func(ctx context.Context) error { return api.Delete(ctx, workspace) })
		workspace.Status = v1alpha1.SeamWorkspaceStatus{
			WorkspaceID: "ws1", Name: "Production", Sandbox: ptr.To(false),
			Conditions: []metav1.Condition{
				{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonCredentialAccepted, LastTransitionTime: metav1.Unix(0, 0)},
				{Type: v1alpha1.ConditionEventsPolled, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonUnauthorized, LastTransitionTime: metav1.Unix(0, 0)},
			},
		}
		Expect(api.Status().Update(ctx, workspace)).To(Succeed())
		Expect(kubectl("get", "sws")).To(Equal([]string{
			"NAME READY REASON WORKSPACE SANDBOX AGE", "columns True CredentialAccepted Production false <age>",
		}))
		Expect(kubectl("get", "seam", "-o", "wide")).To(Equal([]string{
			"NAME READY REASON WORKSPACE SANDBOX POLLED ID AGE", "seamworkspace.connect.seam.co/columns True CredentialAccepted Production false False ws1 <age>",
		}))
	})
})

// createWorkspace sends a minimal SeamWorkspace, into whose spec the given YAML is merged, as null deletes.
func createWorkspace(ctx context.Context, name, spec string, options ...client.CreateOption) (*v1alpha1.SeamWorkspace, error) {
	GinkgoHelper()
	object := minimalWorkspace(name)
	merge(object.Object["spec"].(map[string]any), parse(spec))
	if err := api.Create(ctx, object, options...); err != nil {
		return nil, err
	}
	workspace := &v1alpha1.SeamWorkspace{}
	return workspace, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, workspace)
}

// minimalWorkspace is an object with what is required and nothing else.
func minimalWorkspace(name string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"name": name, "namespace": "default"},
		"spec":     parse(`{credentialSecretRef: {name: seam}}`),
	}}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("SeamWorkspace"))
	return object
}
