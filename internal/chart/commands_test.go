package chart

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/lifecycle"
	"github.com/seam-session-operator/seam-session-operator/internal/secret"
)

var _ = Describe("Every command that is advised", func() {
	It("prints nothing of a Secret, and has no secret on its line", func(ctx SpecContext) {
		for source, commands := range advised(ctx) {
			for _, command := range commands {
				if forbidden := revealing(command); forbidden != "" {
					Fail(source + ": " + command + ": " + forbidden)
				}
			}
		}
	})

	It("is told from one that would", func() {
		for _, command := range []string{
			"kubectl get secret jane -o yaml --show-managed-fields", "kubectl -n shop get secrets -o json", "kubectl get secret/jane -ojsonpath={.data}",
			"kubectl get scs,secrets --output=yaml", "kubectl edit secret jane", "kubectl create secret generic seam --from-literal=SEAM_API_KEY=seam_1",
		} {
			Expect(revealing(command)).NotTo(BeEmpty(), command)
		}
		for _, command := range []string{
			"kubectl describe secret jane", "kubectl -n shop get secret jane", "kubectl get scs jane -o yaml", "kubectl -n shop get secrets -o wide",
			"kubectl -n shop annotate secret jane connect.seam.co/adopt-by=jane",
		} {
			Expect(revealing(command)).To(BeEmpty(), command)
		}
	})

	It("runs, if it needs nothing but the API server", func(ctx SpecContext) {
		kubectl := newShop(ctx)
		var run int
		var failed []string
		for source, commands := range advised(ctx) {
			for _, command := range commands {
				if !runs(command) {
					continue
				}
				run++
				shell := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", command)
				shell.Env = append(os.Environ(), kubectl...)
				printed, err := shell.CombinedOutput()
				if err != nil {
					failed = append(failed, source+": "+command+"\n"+string(printed))
				}
				Expect(string(printed)).NotTo(ContainSubstring("seam_"), "%s: %s", source, command)
			}
		}
		Expect(failed).To(BeEmpty())
		Expect(run).To(BeNumerically(">=", 15))
	})
})

// command finds a command in a line of a code block or between backticks.
var command = regexp.MustCompile("kubectl( -n [a-z{$.-]+[^ `]*)? [a-z][^`*\n]*")

// advised are the commands of the documents, of the chart's notes and alerts, and of the messages, by where they are.
func advised(ctx context.Context) map[string][]string {
	GinkgoHelper()
	texts := map[string]string{"the alerts": render(ctx, monitored).field(rules, ".spec.groups[*].rules[*].annotations.description")}
	for file, text := range documents("README.md", "docs/*.md", "docs/decisions/*.md", "config/chart/templates/NOTES.txt", "config/samples/*.yaml") {
		texts[file] = strings.ReplaceAll(text, "\\\n", " ")
	}
	session := &v1alpha1.SeamClientSession{ObjectMeta: metav1.ObjectMeta{Namespace: shop, Name: "jane"}}
	texts["a message"] = lifecycle.ConflictProblem(secret.State{Exists: true}, session).Message
	commands := map[string][]string{}
	for source, text := range texts {
		for _, found := range command.FindAllString(text, -1) {
			found, _, _ = strings.Cut(found, " #")
			found, _, _ = strings.Cut(found, " | ") // what filters it may find nothing
			commands[source] = append(commands[source], strings.TrimRight(strings.TrimSpace(found), ".,:;*"))
		}
	}
	Expect(commands).To(HaveKey("a message"))
	Expect(commands).To(HaveKey("the alerts"))
	return commands
}

var (
	ofSecrets = regexp.MustCompile(`\b(get|edit)\b.*\bsecrets?\b`)
	showsData = regexp.MustCompile(`--show-managed-fields|(-o|--output)[ =]?(yaml|json|go-template|custom-columns)|\bedit\b`)
)

// revealing says what is wrong with a command, if anything.
func revealing(command string) string {
	switch {
	case ofSecrets.MatchString(command) && showsData.MatchString(command):
		return "it prints the data of a Secret"
	case strings.Contains(command, "--from-literal"):
		return "a secret would be on the command line"
	}
	return ""
}

// runs says whether a command needs nothing but the API server, and leaves that as it is for others.
func runs(command string) bool {
	for _, verb := range []string{" exec ", " logs ", " port-forward ", " delete crd ", " apply ", " wait ", " create ", " delete "} {
		if strings.Contains(command+" ", verb) {
			return false
		}
	}
	return len(strings.Fields(command)) > 2 && !strings.Contains(command, "{{")
}

// newShop makes what the commands speak of, and returns what has kubectl find it.
func newShop(ctx context.Context) []string {
	GinkgoHelper()
	for _, object := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: shop}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: systemNamespace}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "platform"}},
		&v1alpha1.SeamWorkspace{
			ObjectMeta: metav1.ObjectMeta{Namespace: "platform", Name: "production"},
			Spec:       v1alpha1.SeamWorkspaceSpec{CredentialSecretRef: v1alpha1.CredentialReference{Name: "credential"}},
		},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: shop, Name: "jane"}, Data: map[string][]byte{"token": []byte("seam_cst1_token")}},
		&v1alpha1.SeamClientSession{
			ObjectMeta: metav1.ObjectMeta{Namespace: shop, Name: "jane"},
			Spec: v1alpha1.SeamClientSessionSpec{
				UserIdentifierKey: "jane_doe", CredentialSecretRef: v1alpha1.CredentialReference{Name: "credential"},
			},
		},
	} {
		Expect(client.IgnoreAlreadyExists(api.Create(ctx, object))).To(Succeed())
		if object.GetNamespace() != "" {
			DeferCleanup(func(ctx SpecContext) { Expect(client.IgnoreNotFound(api.Delete(ctx, object))).To(Succeed()) })
		}
	}
	user, err := environment.AddUser(envtest.User{Name: "reader-of-the-docs", Groups: []string{"system:masters"}}, nil)
	Expect(err).NotTo(HaveOccurred())
	kubeconfig, err := user.KubeConfig()
	Expect(err).NotTo(HaveOccurred())
	file := filepath.Join(GinkgoT().TempDir(), "kubeconfig")
	Expect(os.WriteFile(file, kubeconfig, 0o600)).To(Succeed())
	return []string{"KUBECONFIG=" + file, "PATH=" + os.Getenv("KUBEBUILDER_ASSETS") + ":" + os.Getenv("PATH")}
}
