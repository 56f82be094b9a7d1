package v1alpha1_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

// x is n letters.
func x(n int) string { return strings.Repeat("x", n) }

// entries are n entries of a map in YAML.
func entries(n int) string {
	var keys []string
	for i := range n {
		keys = append(keys, fmt.Sprintf("k%d: v", i))
	}
	return "{" + strings.Join(keys, ", ") + "}"
}

// provision is a spec of a session that is made and extended.
func provision(spec string) string {
	return `{clientSessionID: null, userIdentifierKey: jane, provision: ` + spec + `}`
}

const (
	secretName    = "must be the name of a Secret: lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit"
	secretKey     = "must be a key of a Secret: letters, digits, '-', '_' and '.'"
	workspaceName = "must be the name of a SeamWorkspace: lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit"
	namespaceName = "must be the name of a namespace: lower-case letters, digits and '-', beginning and ending with a letter or digit"
	oneCredential = "set exactly one of credentialSecretRef and workspaceRef"
	oneSelector   = "set exactly one of clientSessionID, userIdentifierKey and userIdentifierKeySecretRef"
	duration      = "must be a duration such as 30s, 10m or 1h30m"
	foreignDomain = "keys under kubernetes.io and k8s.io are not allowed, but for app.kubernetes.io: Kubernetes could act on them; use a domain of your own"
	ownDomain     = "keys under connect.seam.co and app.kubernetes.io/managed-by belong to the operator: use a domain of your own"
	secretType    = "Kubernetes acts on Secrets of this type: use Opaque"
	templateKey   = "every key must be a key of a Secret: at most 253 letters, digits, '-', '_' and '.', not beginning with '..'"
	key           = "userIdentifierKeySecretRef: {name: jane-key, key: key}"
	asKey         = "clientSessionID: null, userIdentifierKeySecretRef: {name: jane, key: key}"
)

// Every rule and bound of the kind, with what it lets through, what it refuses, and what it says. The object is called
// jane; its spec is that of minimal, with the YAML merged into it.
var _ = DescribeTable("A spec is validated", func(ctx context.Context, accepted, rejected, message string) {
	_, err := create(ctx, "jane", accepted, client.DryRunAll)
	Expect(err).NotTo(HaveOccurred(), "accepted")
	_, err = create(ctx, "jane", rejected, client.DryRunAll)
	Expect(err).To(MatchError(ContainSubstring(message)), "rejected")
},
	Entry("a selector is needed", `{}`, `{clientSessionID: null}`, oneSelector),
	Entry("an ID and a key are too much", `{clientSessionID: null, userIdentifierKey: jane}`, `{userIdentifierKey: jane}`, oneSelector),
	Entry("an ID and a reference are too much", `{clientSessionID: null, `+key+`}`, `{`+key+`}`, oneSelector),
	Entry("a key and a reference are too much", `{}`, `{clientSessionID: null, userIdentifierKey: jane, `+key+`}`, oneSelector),
	Entry("all three are too much", `{}`, `{userIdentifierKey: jane, `+key+`}`, oneSelector),

	Entry("clientSessionID is not empty", `{clientSessionID: c}`, `{clientSessionID: ""}`, "spec.clientSessionID in body should be at least 1 chars long"),
	Entry("clientSessionID is short", `{clientSessionID: `+x(64)+`}`, `{clientSessionID: `+x(65)+`}`, "spec.clientSessionID: Too long: may not be more than 64"),
	Entry("clientSessionID is an ID", `{clientSessionID: c2cbd177-1ace-414b-bb1e-9f129e4a05c1}`, `{clientSessionID: "a b"}`, "must be the ID of a Seam client session, made of letters, digits, '_' and '-', such as"),
	Entry("clientSessionID is one line", `{clientSessionID: a_B-1}`, `{clientSessionID: "a\n"}`, "must be the ID of a Seam client session"),

	Entry("userIdentifierKey is not empty", `{clientSessionID: null, userIdentifierKey: j}`, `{clientSessionID: null, userIdentifierKey: ""}`, "spec.userIdentifierKey in body should be at least 1 chars long"),
	Entry("userIdentifierKey is bounded", `{clientSessionID: null, userIdentifierKey: `+x(512)+`}`, `{clientSessionID: null, userIdentifierKey: `+x(513)+`}`, "spec.userIdentifierKey: Too long: may not be more than 512"),

	Entry("provision is of a user", provision(`{}`), `{provision: {}}`, "with provision set userIdentifierKey or userIdentifierKeySecretRef, not clientSessionID"),
	Entry("provision is of a user's key in a Secret", `{clientSessionID: null, `+key+`, provision: {}}`, `{provision: {lifetime: 1h}}`, "not clientSessionID"),
	Entry("lifetime is a duration", provision(`{lifetime: 1h30m}`), provision(`{lifetime: 1d}`), "must be a duration such as 30m or 24h"),
	Entry("lifetime is not short", provision(`{lifetime: 10m}`), provision(`{lifetime: 599s}`), "must be at least 10m and at most 8760h"),
	Entry("lifetime is not long", provision(`{lifetime: 8760h}`), provision(`{lifetime: 8761h}`), "must be at least 10m and at most 8760h"),
	Entry("connectedAccountIDs are some", provision(`{connectedAccountIDs: [a]}`), provision(`{connectedAccountIDs: []}`), "should have at least 1 items"),
	Entry("connectedAccountIDs differ", provision(`{connectedAccountIDs: [a, b]}`), provision(`{connectedAccountIDs: [a, a]}`), "Duplicate value"),
	Entry("connectedAccountIDs are IDs", provision(`{connectedAccountIDs: [a_B-1]}`), provision(`{connectedAccountIDs: ["a b"]}`), "must be an ID that Seam gave"),
	Entry("connectWebviewIDs are some", provision(`{connectWebviewIDs: [a]}`), provision(`{connectWebviewIDs: []}`), "should have at least 1 items"),
	Entry("connectWebviewIDs differ", provision(`{connectWebviewIDs: [a, b]}`), provision(`{connectWebviewIDs: [a, a]}`), "Duplicate value"),
	Entry("connectWebviewIDs are short", provision(`{connectWebviewIDs: [`+x(64)+`]}`), provision(`{connectWebviewIDs: [`+x(65)+`]}`), "Too long: may not be more than 64"),
	Entry("userIdentityID is an ID", provision(`{userIdentityID: a}`), provision(`{userIdentityID: "a/b"}`), "must be an ID that Seam gave"),
	Entry("whenDeleted is known", provision(`{whenDeleted: Delete}`), provision(`{whenDeleted: Keep}`), `supported values: "Expire", "Delete"`),

	Entry("the key's reference names a Secret", `{clientSessionID: null, `+key+`}`, `{clientSessionID: null, userIdentifierKeySecretRef: {key: key}}`, "spec.userIdentifierKeySecretRef.name: Required value"),
	Entry("the key's reference names a Secret properly", `{clientSessionID: null, userIdentifierKeySecretRef: {name: a.b-c, key: k}}`, `{clientSessionID: null, userIdentifierKeySecretRef: {name: A, key: k}}`, secretName),
	Entry("the key's Secret has a name", `{}`, `{clientSessionID: null, userIdentifierKeySecretRef: {name: "", key: k}}`, "spec.userIdentifierKeySecretRef.name in body should be at least 1 chars long"),
	Entry("the key's Secret has a short name", `{clientSessionID: null, userIdentifierKeySecretRef: {name: `+x(253)+`, key: k}}`, `{clientSessionID: null, userIdentifierKeySecretRef: {name: `+x(254)+`, key: k}}`, "spec.userIdentifierKeySecretRef.name: Too long"),
	Entry("the key's reference names a key", `{clientSessionID: null, `+key+`}`, `{clientSessionID: null, userIdentifierKeySecretRef: {name: a}}`, "spec.userIdentifierKeySecretRef.key: Required value"),
	Entry("the key's reference names a key that is one", `{clientSessionID: null, userIdentifierKeySecretRef: {name: a, key: A.b-_1}}`, `{clientSessionID: null, userIdentifierKeySecretRef: {name: a, key: a/b}}`, secretKey),
	Entry("the key's key is not empty", `{}`, `{clientSessionID: null, userIdentifierKeySecretRef: {name: a, key: ""}}`, "spec.userIdentifierKeySecretRef.key in body should be at least 1 chars long"),
	Entry("the key's key is short", `{clientSessionID: null, userIdentifierKeySecretRef: {name: a, key: `+x(253)+`}}`, `{clientSessionID: null, userIdentifierKeySecretRef: {name: a, key: `+x(254)+`}}`, "spec.userIdentifierKeySecretRef.key: Too long"),

	Entry("a credential is needed", `{}`, `{credentialSecretRef: null}`, oneCredential),
	Entry("a credential and a workspace are too much", `{credentialSecretRef: null, workspaceRef: {name: w}}`, `{workspaceRef: {name: w}}`, oneCredential),
	Entry("the credential's Secret is named", `{}`, `{credentialSecretRef: {name: null}}`, "spec.credentialSecretRef.name: Required value"),
	Entry("the credential's Secret has a name", `{}`, `{credentialSecretRef: {name: ""}}`, "spec.credentialSecretRef.name in body should be at least 1 chars long"),
	Entry("the credential's Secret is named properly", `{credentialSecretRef: {name: a.b-c.1}}`, `{credentialSecretRef: {name: -a}}`, secretName),
	Entry("the credential's Secret has a short name", `{credentialSecretRef: {name: `+x(253)+`}}`, `{credentialSecretRef: {name: `+x(254)+`}}`, "spec.credentialSecretRef.name: Too long"),
	Entry("the credential's key is one", `{credentialSecretRef: {key: A.b-_1}}`, `{credentialSecretRef: {key: a b}}`, secretKey),
	Entry("the credential's key is not empty", `{credentialSecretRef: {key: a}}`, `{credentialSecretRef: {key: ""}}`, "spec.credentialSecretRef.key in body should be at least 1 chars long"),
	Entry("the credential's key is short", `{credentialSecretRef: {key: `+x(253)+`}}`, `{credentialSecretRef: {key: `+x(254)+`}}`, "spec.credentialSecretRef.key: Too long"),

	Entry("the workspace is named", `{credentialSecretRef: null, workspaceRef: {name: a}}`, `{credentialSecretRef: null, workspaceRef: {}}`, "spec.workspaceRef.name: Required value"),
	Entry("the workspace has a name", `{credentialSecretRef: null, workspaceRef: {name: a}}`, `{credentialSecretRef: null, workspaceRef: {name: ""}}`, "spec.workspaceRef.name in body should be at least 1 chars long"),
	Entry("the workspace has a short name", `{credentialSecretRef: null, workspaceRef: {name: `+x(253)+`}}`, `{credentialSecretRef: null, workspaceRef: {name: `+x(254)+`}}`, "spec.workspaceRef.name: Too long: may not be more than 253"),
	Entry("the workspace is named properly", `{credentialSecretRef: null, workspaceRef: {name: a.b-c.1}}`, `{credentialSecretRef: null, workspaceRef: {name: a_b}}`, workspaceName),
	Entry("the workspace's namespace is not empty", `{credentialSecretRef: null, workspaceRef: {name: a, namespace: b}}`, `{credentialSecretRef: null, workspaceRef: {name: a, namespace: ""}}`, "spec.workspaceRef.namespace in body should be at least 1 chars long"),
	Entry("the workspace's namespace is short", `{credentialSecretRef: null, workspaceRef: {name: a, namespace: `+x(63)+`}}`, `{credentialSecretRef: null, workspaceRef: {name: a, namespace: `+x(64)+`}}`, "spec.workspaceRef.namespace: Too long: may not be more than 63"),
	Entry("the workspace's namespace is one", `{credentialSecretRef: null, workspaceRef: {name: a, namespace: a-1}}`, `{credentialSecretRef: null, workspaceRef: {name: a, namespace: a.b}}`, namespaceName),
	Entry("the workspace says which it is", `{credentialSecretRef: null, workspaceRef: {name: a}}`, `{credentialSecretRef: null, workspaceRef: {name: a}, workspaceID: w}`, "the SeamWorkspace says which workspace it is: leave out workspaceID"),
	Entry("secret.name is not the user's key, with a workspace either", `{credentialSecretRef: null, workspaceRef: {name: jane}}`, `{credentialSecretRef: null, workspaceRef: {name: jane}, `+asKey+`}`, "the token would overwrite the user identifier key"),

	Entry("workspaceID is not empty", `{workspaceID: w}`, `{workspaceID: ""}`, "spec.workspaceID in body should be at least 1 chars long"),
	Entry("workspaceID is short", `{workspaceID: `+x(64)+`}`, `{workspaceID: `+x(65)+`}`, "spec.workspaceID: Too long: may not be more than 64"),
	Entry("workspaceID is an ID", `{workspaceID: seed_workspace_1}`, `{workspaceID: "a/b"}`, "must be the ID of a Seam workspace, made of letters, digits, '_' and '-', such as"),

	Entry("refreshInterval is a duration", `{refreshInterval: 1h30m}`, `{refreshInterval: 1d}`, duration),
	Entry("refreshInterval has no fraction", `{refreshInterval: 90m}`, `{refreshInterval: 1.5h}`, duration),
	Entry("refreshInterval has no sign", `{refreshInterval: 30s500ms}`, `{refreshInterval: -1h}`, duration),
	Entry("refreshInterval has a unit", `{refreshInterval: 60s}`, `{refreshInterval: "60"}`, duration),
	Entry("refreshInterval is a string", `{refreshInterval: 99999h}`, `{refreshInterval: 60}`, "spec.refreshInterval in body must be of type string"),
	Entry("refreshInterval is not too short", `{refreshInterval: 30s}`, `{refreshInterval: 29s}`, "must be at least 30s"),
	Entry("refreshInterval is short to read", `{refreshInterval: 00001h00001m00001s00001ms}`, `{refreshInterval: `+strings.Repeat("1", 32)+`s}`, "spec.refreshInterval: Too long"),

	Entry("renewBefore is a duration", `{renewBefore: 10m}`, `{renewBefore: soon}`, duration),
	Entry("renewBefore may be nothing", `{renewBefore: 0s}`, `{renewBefore: ""}`, duration),
	Entry("renewBefore is a string", `{renewBefore: 99999h}`, `{renewBefore: 60}`, "spec.renewBefore in body must be of type string"),
	Entry("renewBefore is short to read", `{renewBefore: 00001h00001m00001s00001ms}`, `{renewBefore: `+strings.Repeat("1", 32)+`s}`, "spec.renewBefore: Too long"),

	Entry("secret.name is not the credential", `{secret: {name: jane-seam}}`, `{secret: {name: seam}}`, "the token would overwrite the credential: set spec.secret.name (default: the name of this object) to another name than spec.credentialSecretRef.name"),
	Entry("secret.name by default is not the credential", `{credentialSecretRef: {name: jane}, secret: {name: a}}`, `{credentialSecretRef: {name: jane}}`, "the token would overwrite the credential"),
	Entry("secret.name is not the user's key", `{clientSessionID: null, `+key+`, secret: {name: a}}`, `{clientSessionID: null, `+key+`, secret: {name: jane-key}}`, "the token would overwrite the user identifier key: set spec.secret.name (default: the name of this object) to another name than spec.userIdentifierKeySecretRef.name"),
	Entry("secret.name by default is not the user's key", `{clientSessionID: null, `+key+`}`, `{clientSessionID: null, userIdentifierKeySecretRef: {name: jane, key: k}}`, "the token would overwrite the user identifier key"),
	Entry("secret.name is a name", `{secret: {name: a.b-c}}`, `{secret: {name: a_b}}`, secretName),
	Entry("secret.name is not empty", `{secret: {name: a}}`, `{secret: {name: ""}}`, "spec.secret.name in body should be at least 1 chars long"),
	Entry("secret.name is short", `{secret: {name: `+x(253)+`}}`, `{secret: {name: `+x(254)+`}}`, "spec.secret.name: Too long"),

	Entry("labels are few", `{secret: {labels: `+entries(32)+`}}`, `{secret: {labels: `+entries(33)+`}}`, "spec.secret.labels: Too many: 33: must have at most 32"),
	Entry("labels have keys", `{secret: {labels: {team: a, example.com/te_am.A-b: a, app.kubernetes.io/part-of: shop}}}`, `{secret: {labels: {-team: a}}}`, "every key must be a label key such as team or example.com/team"),
	Entry("labels have keys with a short name", `{secret: {labels: {example.com/`+x(63)+`: a}}}`, `{secret: {labels: {example.com/`+x(64)+`: a}}}`, "every key must be a label key"),
	Entry("labels have one prefix", `{}`, `{secret: {labels: {a/b/c: a}}}`, "every key must be a label key"),
	Entry("labels have short prefixes", `{secret: {labels: {`+x(253)+`/a: a}}}`, `{secret: {labels: {`+x(254)+`/a: a}}}`, "every key must be a label key"),
	Entry("labels are not Kubernetes'", `{secret: {labels: {mykubernetes.io/a: a, k8s.io.example.com/a: a}}}`, `{secret: {labels: {kubernetes.io/a: a}}}`, foreignDomain),
	Entry("labels are not of a part of Kubernetes", `{secret: {labels: {app.kubernetes.io/name: a}}}`, `{secret: {labels: {kustomize.toolkit.k8s.io/a: a}}}`, foreignDomain),
	Entry("labels are not of a part of app.kubernetes.io", `{}`, `{secret: {labels: {x.app.kubernetes.io/a: a}}}`, foreignDomain),
	Entry("labels are not the operator's", `{secret: {labels: {seam.co/a: a}}}`, `{secret: {labels: {connect.seam.co/a: a}}}`, ownDomain),
	Entry("labels are not of a part of the operator", `{}`, `{secret: {labels: {x.connect.seam.co/a: a}}}`, ownDomain),
	Entry("labels do not say who manages", `{secret: {labels: {app.kubernetes.io/component: a}}}`, `{secret: {labels: {app.kubernetes.io/managed-by: a}}}`, ownDomain),
	Entry("labels have values", `{secret: {labels: {a: "", b: A.b-_1}}}`, `{secret: {labels: {a: a b}}}`, "must be a label value: at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit"),
	Entry("labels have short values", `{secret: {labels: {a: `+x(63)+`}}}`, `{secret: {labels: {a: `+x(64)+`}}}`, "spec.secret.labels.a: Too long: may not be more than 63"),

	Entry("annotations are few", `{secret: {annotations: `+entries(32)+`}}`, `{secret: {annotations: `+entries(33)+`}}`, "spec.secret.annotations: Too many: 33: must have at most 32"),
	Entry("annotations have keys", `{secret: {annotations: {note: a, example.com/no_te.A-b: a, app.kubernetes.io/part-of: shop}}}`, `{secret: {annotations: {note-: a}}}`, "every key must be an annotation key such as note or example.com/note"),
	Entry("annotations have short prefixes", `{secret: {annotations: {`+x(253)+`/a: a}}}`, `{secret: {annotations: {`+x(254)+`/a: a}}}`, "every key must be an annotation key"),
	Entry("annotations are not Kubernetes'", `{secret: {annotations: {example.com/a: a}}}`, `{secret: {annotations: {kubernetes.io/service-account.name: a}}}`, foreignDomain),
	Entry("annotations are not kubectl's", `{}`, `{secret: {annotations: {kubectl.kubernetes.io/last-applied-configuration: a}}}`, foreignDomain),
	Entry("annotations are not the operator's", `{secret: {annotations: {seam.co/a: a}}}`, `{secret: {annotations: {connect.seam.co/adopt-by: john}}}`, ownDomain),
	Entry("annotations do not say who manages", `{}`, `{secret: {annotations: {app.kubernetes.io/managed-by: a}}}`, ownDomain),
	Entry("annotations have short values", `{secret: {annotations: {a: `+x(4096)+`}}}`, `{secret: {annotations: {a: `+x(4097)+`}}}`, "spec.secret.annotations.a: Too long: may not be more than 4096"),

	Entry("type is not empty", `{secret: {type: example.com/seam}}`, `{secret: {type: ""}}`, "spec.secret.type in body should be at least 1 chars long"),
	Entry("type is short", `{secret: {type: `+x(253)+`}}`, `{secret: {type: `+x(254)+`}}`, "spec.secret.type: Too long"),
	Entry("type makes no service account token", `{secret: {type: kubernetes.io/tls}}`, `{secret: {type: kubernetes.io/service-account-token}}`, secretType),
	Entry("type makes no bootstrap token", `{secret: {type: Opaque}}`, `{secret: {type: bootstrap.kubernetes.io/token}}`, secretType),

	Entry("template has keys", `{secret: {template: {a: ""}}}`, `{secret: {template: {}}}`, "spec.secret.template in body should have at least 1 properties"),
	Entry("template has few keys", `{secret: {template: `+entries(32)+`}}`, `{secret: {template: `+entries(33)+`}}`, "spec.secret.template: Too many: 33: must have at most 32"),
	Entry("template has keys of a Secret", `{secret: {template: {.dockerconfigjson: a, A_b-c.d: a}}}`, `{secret: {template: {a/b: a}}}`, templateKey),
	Entry("template has keys that are no folder", `{secret: {template: {.a: a}}}`, `{secret: {template: {.: a}}}`, templateKey),
	Entry("template has keys that are not hidden from volumes", `{secret: {template: {a..b: a}}}`, `{secret: {template: {..a: a}}}`, templateKey),
	Entry("template has short keys", `{secret: {template: {`+x(253)+`: a}}}`, `{secret: {template: {`+x(254)+`: a}}}`, templateKey),
	Entry("template has short values", `{secret: {template: {a: `+x(8192)+`}}}`, `{secret: {template: {a: `+x(8193)+`}}}`, "spec.secret.template.a: Too long: may not be more than 8192"),

	Entry("whenDeleted is a choice", `{secret: {retentionPolicy: {whenDeleted: Retain}}}`, `{secret: {retentionPolicy: {whenDeleted: Keep}}}`, `spec.secret.retentionPolicy.whenDeleted: Unsupported value: "Keep": supported values: "Delete", "Retain"`),
	Entry("whenSessionEnds is a choice", `{secret: {retentionPolicy: {whenSessionEnds: Delete}}}`, `{secret: {retentionPolicy: {whenSessionEnds: Keep}}}`, `spec.secret.retentionPolicy.whenSessionEnds: Unsupported value: "Keep": supported values: "Delete", "Retain"`),

	Entry("suspend is true or false", `{suspend: true}`, `{suspend: "yes"}`, "spec.suspend in body must be of type boolean"),
)

var _ = Describe("A SeamClientSession", func() {
	It("has defaults", func(ctx context.Context) {
		session, err := create(ctx, "defaults", `{}`, client.DryRunAll)
		Expect(err).NotTo(HaveOccurred())
		Expect(session.Spec).To(Equal(v1alpha1.SeamClientSessionSpec{
			ClientSessionID:     "cst1",
			CredentialSecretRef: v1alpha1.CredentialReference{Name: "seam", Key: v1alpha1.DefaultCredentialKey},
			RefreshInterval:     &metav1.Duration{Duration: time.Hour},
			Secret: v1alpha1.SecretSpec{
				Type:            "Opaque",
				RetentionPolicy: v1alpha1.RetentionPolicy{WhenDeleted: v1alpha1.RetentionDelete, WhenSessionEnds: v1alpha1.RetentionRetain},
			},
		}))
		Expect(session.SecretName()).To(Equal("defaults"))
	})

	It("has defaults beside what is given", func(ctx context.Context) {
		session, err := create(ctx, "defaults", `{secret: {name: a, retentionPolicy: {whenDeleted: Retain}}}`, client.DryRunAll)
		Expect(err).NotTo(HaveOccurred())
		Expect(session.Spec.Secret).To(Equal(v1alpha1.SecretSpec{
			Name: "a", Type: "Opaque",
			RetentionPolicy: v1alpha1.RetentionPolicy{WhenDeleted: v1alpha1.RetentionRetain, WhenSessionEnds: v1alpha1.RetentionRetain},
		}))
		Expect(session.SecretName()).To(Equal("a"))
	})

	It("keeps what is given, every field of it", func(ctx context.Context) {
		given := parse(`{clientSessionID: null, userIdentifierKeySecretRef: {name: a, key: b}, credentialSecretRef: {name: c, key: d},
			workspaceID: ws1, refreshInterval: 2h, renewBefore: 5m, suspend: true, provision: {lifetime: 30m, connectedAccountIDs: [m],
			connectWebviewIDs: [p], userIdentityID: o, whenDeleted: Delete}, secret: {name: e, labels: {f: g}, annotations: {h: i},
			type: j, template: {k: l}, retentionPolicy: {whenDeleted: Retain, whenSessionEnds: Delete}}}`)
		object := minimal("everything")
		merge(object.Object["spec"].(map[string]any), given)
		sent := object.DeepCopy()
		Expect(api.Create(ctx, object, client.DryRunAll)).To(Succeed())
		Expect(object.Object["spec"]).To(Equal(sent.Object["spec"]))
	})

	It("keeps what is given of a workspace, and puts nothing beside it", func(ctx context.Context) {
		session, err := create(ctx, "by-workspace", `{credentialSecretRef: null, workspaceRef: {name: a, namespace: b}}`, client.DryRunAll)
		Expect(err).NotTo(HaveOccurred())
		Expect(session.Spec.WorkspaceRef).To(Equal(&v1alpha1.WorkspaceReference{Name: "a", Namespace: "b"}))
		Expect(session.Spec.CredentialSecretRef).To(BeZero())
		Expect(session.Workspace()).To(Equal(types.NamespacedName{Namespace: "b", Name: "a"}))
	})

	It("names a workspace of its own namespace, if it gives none", func(ctx context.Context) {
		session, err := create(ctx, "by-workspace", `{credentialSecretRef: null, workspaceRef: {name: a}}`, client.DryRunAll)
		Expect(err).NotTo(HaveOccurred())
		Expect(session.Workspace()).To(Equal(types.NamespacedName{Namespace: "default", Name: "a"}))
	})

	It("can change all of its spec but the type of the Secret", func(ctx context.Context) {
		session, err := create(ctx, "changes", `{}`)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func(ctx context.Context) error { return api.Delete(ctx, session) })
		session.Spec.ClientSessionID, session.Spec.UserIdentifierKey = "", "jane"
		session.Spec.Secret.Name, session.Spec.CredentialSecretRef.Name = "another", "yet-another"
		Expect(api.Update(ctx, session)).To(Succeed())
		Expect(session.Generation).To(BeEquivalentTo(2))
		session.Spec.Secret.Type = "example.com/seam"
		Expect(api.Update(ctx, session)).To(MatchError(ContainSubstring(
			"the type of a Secret can't be changed: create another SeamClientSession with another spec.secret.name")))
	})

	It("has a status of its own, which does not change the spec", func(ctx context.Context) {
		object := minimal("status")
		object.Object["status"] = map[string]any{"secretName": "forged"}
		Expect(api.Create(ctx, object)).To(Succeed())
		DeferCleanup(func(ctx context.Context) error { return api.Delete(ctx, object) })
		session := &v1alpha1.SeamClientSession{}
		Expect(api.Get(ctx, client.ObjectKeyFromObject(object), session)).To(Succeed())
		Expect(session.Status).To(BeZero(), "a user who creates can't set it")

		session.Spec.Suspend, session.Status.SecretName = true, "status"
		Expect(api.Status().Update(ctx, session)).To(Succeed())
		Expect(session.Spec.Suspend).To(BeFalse())
		Expect(session.Generation).To(BeEquivalentTo(1))
		session.Status.SecretName = "forged"
		Expect(api.Update(ctx, session)).To(Succeed())
		Expect(session.Status.SecretName).To(Equal("status"), "a user who updates can't change it")

		for i := range 9 {
			session.Status.Conditions = append(session.Status.Conditions, metav1.Condition{
				Type: fmt.Sprint("Type", i), Status: metav1.ConditionTrue, Reason: "Reason", LastTransitionTime: metav1.Unix(0, 0),
			})
		}
		Expect(api.Status().Update(ctx, session)).To(MatchError(ContainSubstring("status.conditions: Too many: 9: must have at most 8 items")))
		session.Status.Conditions[1].Type = "Type0"
		session.Status.Conditions = session.Status.Conditions[:2]
		Expect(api.Status().Update(ctx, session)).To(MatchError(ContainSubstring("status.conditions[1]: Duplicate value")))
	})

	It("shows in kubectl what one needs to know", func(ctx context.Context) {
		session, err := create(ctx, "columns", `{}`)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func(ctx context.Context) error { return api.Delete(ctx, session) })
		future := metav1.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
		session.Status = v1alpha1.SeamClientSessionStatus{
			SecretName: "jane-seam", ClientSessionID: "cst1", ExpiresAt: &future, NextFetchTime: &future,
			Reason: v1alpha1.ReasonRateLimited, WaitingFor: "nothing",
			Conditions: []metav1.Condition{
				{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonTokenAvailable, LastTransitionTime: future},
				{Type: v1alpha1.ConditionSynced, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonRateLimited, LastTransitionTime: future},
			},
		}
		Expect(api.Status().Update(ctx, session)).To(Succeed())
		Expect(kubectl("get", "scs")).To(Equal([]string{
			"NAME READY SECRET EXPIRES REASON AGE", "columns True jane-seam 2099-01-01T00:00:00Z RateLimited <age>",
		}))
		Expect(kubectl("get", "seam", "-o", "wide")).To(Equal([]string{
			"NAME READY SECRET EXPIRES REASON SYNCED SESSION FETCHED NEXT WAITS-FOR AGE",
			"seamclientsession.connect.seam.co/columns True jane-seam 2099-01-01T00:00:00Z RateLimited False cst1 2099-01-01T00:00:00Z nothing <age>",
		}))
	})
})

// kubectl returns the lines of its output with single spaces, and the age in the last column left out.
func kubectl(args ...string) []string {
	GinkgoHelper()
	user, err := apiServer.AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, nil)
	Expect(err).NotTo(HaveOccurred())
	command, err := user.Kubectl()
	Expect(err).NotTo(HaveOccurred())
	stdout, stderr, err := command.Run(args...)
	Expect(err).NotTo(HaveOccurred(), "%v", stderr)
	output, err := io.ReadAll(stdout)
	Expect(err).NotTo(HaveOccurred())
	var lines []string
	for line := range strings.Lines(string(output)) {
		fields := strings.Fields(line)
		if len(lines) > 0 {
			fields[len(fields)-1] = "<age>"
		}
		lines = append(lines, strings.Join(fields, " "))
	}
	return lines
}

// minimal is an object with what is required and nothing else.
func minimal(name string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"name": name, "namespace": "default"},
		"spec":     parse(`{clientSessionID: cst1, credentialSecretRef: {name: seam}}`),
	}}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("SeamClientSession"))
	return object
}

func parse(text string) map[string]any {
	GinkgoHelper()
	var parsed map[string]any
	Expect(yaml.Unmarshal([]byte(text), &parsed)).To(Succeed())
	return parsed
}

// merge is a JSON merge patch: null deletes.
func merge(into, patch map[string]any) {
	for key, value := range patch {
		inner, isMap := value.(map[string]any)
		target, hasMap := into[key].(map[string]any)
		switch {
		case value == nil:
			delete(into, key)
		case isMap && hasMap:
			merge(target, inner)
		default:
			into[key] = value
		}
	}
}
