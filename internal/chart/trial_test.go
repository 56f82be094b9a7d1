package chart

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

const (
	// sessionName is the session of a trial, and workspaceName its workspace.
	sessionName, workspaceName = "john", "production"
	// teamLabel has the name of the trial that lets a namespace use its workspace.
	teamLabel = "trial"
)

var trials atomic.Int32

// trial is a namespace and an operator, a process of its own, with some permissions there.
type trial struct {
	namespace, user string
	// team is another namespace, with a session by the workspace; empty where the operator works in one namespace.
	team       string
	auditFrom  int64
	server     *seamtest.Server
	port       int
	scraper    string
	kubeconfig string
	log        buffer
	kill       context.CancelFunc
	ended      chan struct{}
}

// newTrial makes a namespace with a session and a workspace in it, a user with these permissions, and starts the operator as that
// user: for all namespaces if it is granted its work there.
func newTrial(ctx context.Context, granted []permission) *trial {
	GinkgoHelper()
	name := fmt.Sprintf("trial-%d", trials.Add(1))
	t := &trial{namespace: name, user: "operator-of-" + name, server: seamtest.New(nil), ended: make(chan struct{})}
	info, err := os.Stat(auditLog)
	Expect(err).NotTo(HaveOccurred())
	t.auditFrom = info.Size()
	t.server.Seed()
	t.server.Start()
	DeferCleanup(t.server.Close)
	for _, object := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}},
		&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "seam"},
			Data:       map[string][]byte{v1alpha1.DefaultCredentialKey: []byte(seamtest.APIKey1)},
		},
		&v1alpha1.SeamClientSession{
			ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: sessionName},
			Spec: v1alpha1.SeamClientSessionSpec{
				ClientSessionID: seamtest.JohnSessionID, CredentialSecretRef: v1alpha1.CredentialReference{Name: "seam"},
			},
		},
		&v1alpha1.SeamWorkspace{
			ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: workspaceName},
			Spec: v1alpha1.SeamWorkspaceSpec{
				CredentialSecretRef: v1alpha1.CredentialReference{Name: "seam"},
				Grants: []v1alpha1.Grant{{Namespaces: v1alpha1.GrantedNamespaces{
					Selector: &v1alpha1.NamespaceSelector{MatchLabels: map[string]v1alpha1.LabelValue{teamLabel: v1alpha1.LabelValue(name)}},
				}}},
			},
		},
	} {
		Expect(api.Create(ctx, object)).To(Succeed())
	}
	if slices.ContainsFunc(granted, func(p permission) bool { return p.role == wideWorkRole }) {
		t.addTeam(ctx)
	}
	t.grant(ctx, granted)
	t.scraper = t.mayScrape(ctx)
	t.start(ctx)
	DeferCleanup(t.end)
	return t
}

// addTeam makes a namespace that the workspace selects, with a session in it.
func (t *trial) addTeam(ctx context.Context) {
	GinkgoHelper()
	t.team = t.namespace + "-team"
	Expect(api.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: t.team, Labels: map[string]string{teamLabel: t.namespace},
	}})).To(Succeed())
	Expect(api.Create(ctx, &v1alpha1.SeamClientSession{
		ObjectMeta: metav1.ObjectMeta{Namespace: t.team, Name: sessionName},
		Spec: v1alpha1.SeamClientSessionSpec{
			ClientSessionID: seamtest.JohnSessionID,
			WorkspaceRef:    &v1alpha1.WorkspaceReference{Name: workspaceName, Namespace: v1alpha1.NamespaceName(t.namespace)},
		},
	})).To(Succeed())
}

// grant binds the permissions to the user: those of a Role in the namespace.
func (t *trial) grant(ctx context.Context, granted []permission) {
	GinkgoHelper()
	var local, wide []rbacv1.PolicyRule
	for _, p := range granted {
		if strings.HasPrefix(p.role, "ClusterRole/") {
			wide = append(wide, p.rule())
		} else {
			local = append(local, p.rule())
		}
	}
	where := metav1.ObjectMeta{Namespace: t.namespace, Name: t.user}
	subjects := []rbacv1.Subject{{Kind: rbacv1.UserKind, Name: t.user}}
	reference := func(kind string) rbacv1.RoleRef {
		return rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: t.user}
	}
	for _, object := range []client.Object{
		&rbacv1.Role{ObjectMeta: where, Rules: local},
		&rbacv1.RoleBinding{ObjectMeta: where, RoleRef: reference("Role"), Subjects: subjects},
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: t.user}, Rules: wide},
		&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: t.user}, RoleRef: reference("ClusterRole"), Subjects: subjects},
	} {
		Expect(api.Create(ctx, object)).To(Succeed())
	}
}

// mayScrape returns the token of a service account that may read the metrics.
func (t *trial) mayScrape(ctx context.Context) string {
	GinkgoHelper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: t.namespace, Name: "prometheus"}}
	role := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "scrape-" + t.namespace},
		Rules:      []rbacv1.PolicyRule{{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}}},
	}
	for _, object := range []client.Object{account, role, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: t.namespace, Name: account.Name}},
	}} {
		Expect(api.Create(ctx, object)).To(Succeed())
	}
	return tokenOf(ctx, account)
}

func tokenOf(ctx context.Context, account *corev1.ServiceAccount) string {
	GinkgoHelper()
	request := &authenticationv1.TokenRequest{}
	Expect(api.SubResource("token").Create(ctx, account, request)).To(Succeed())
	return request.Status.Token
}

func (t *trial) start(ctx context.Context) {
	GinkgoHelper()
	user, err := environment.AddUser(envtest.User{Name: t.user}, nil)
	Expect(err).NotTo(HaveOccurred())
	content, err := user.KubeConfig()
	Expect(err).NotTo(HaveOccurred())
	t.kubeconfig = filepath.Join(GinkgoT().TempDir(), "kubeconfig")
	Expect(os.WriteFile(t.kubeconfig, content, 0o600)).To(Succeed())
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	t.port = listener.Addr().(*net.TCPAddr).Port
	Expect(listener.Close()).To(Succeed())

	life, kill := context.WithCancel(context.WithoutCancel(ctx))
	t.kill = kill
	command := exec.CommandContext(life, binary, "--seam-endpoint="+t.server.URL(), t.watched(),
		"--leader-elect", "--leader-election-namespace="+t.namespace, "--leader-election-id=seam-session-operator.connect.seam.co",
		"--leader-elect-lease-duration=2s", "--leader-elect-renew-deadline=1s", "--leader-elect-retry-period=200ms",
		"--health-probe-bind-address=0", fmt.Sprintf("--metrics-bind-address=127.0.0.1:%d", t.port), "--metrics-secure")
	// An API server that does not stream lists is asked for them, and list is granted for it.
	command.Env = append(os.Environ(), "KUBECONFIG="+t.kubeconfig, "KUBE_FEATURE_WatchListClient=false")
	command.Stdout, command.Stderr = &t.log, &t.log
	Expect(command.Start()).To(Succeed())
	go func() {
		defer close(t.ended)
		_ = command.Wait()
	}()
}

// watched is the flag that says in which namespaces the operator works.
func (t *trial) watched() string {
	if t.team != "" {
		return "--watch-namespaces="
	}
	return "--watch-namespaces=" + t.namespace
}

// check runs the operator's own check as the same user, and returns what it prints.
func (t *trial) check(ctx context.Context, flags ...string) (string, error) {
	args := append([]string{"--check", t.watched(), "--leader-election-namespace=" + t.namespace,
		"--leader-election-id=seam-session-operator.connect.seam.co"}, flags...)
	command := exec.CommandContext(ctx, binary, args...)
	command.Env = append(os.Environ(), "KUBECONFIG="+t.kubeconfig)
	printed, err := command.CombinedOutput()
	return string(printed), err
}

// end may be called again.
func (t *trial) end(ctx context.Context) {
	GinkgoHelper()
	t.kill()
	Eventually(t.ended).Should(BeClosed())
	if CurrentSpecReport().Failed() {
		GinkgoWriter.Println(t.log.String())
	}
	for _, namespace := range []string{t.namespace, t.namespace + "-team"} {
		var left v1alpha1.SeamClientSessionList
		Expect(api.List(ctx, &left, client.InNamespace(namespace))).To(Succeed())
		for i := range left.Items { // nobody is there who takes the finalizer off
			Expect(client.IgnoreNotFound(api.Patch(ctx, &left.Items[i], client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))))).To(Succeed())
		}
		Expect(api.DeleteAllOf(ctx, &v1alpha1.SeamClientSession{}, client.InNamespace(namespace))).To(Succeed())
		Expect(api.DeleteAllOf(ctx, &v1alpha1.SeamWorkspace{}, client.InNamespace(namespace))).To(Succeed())
	}
}

// provision has a session made at Seam that is to be deleted with its object.
func (t *trial) provision(ctx context.Context) func() bool {
	GinkgoHelper()
	session := &v1alpha1.SeamClientSession{
		ObjectMeta: metav1.ObjectMeta{Namespace: t.namespace, Name: "provisioned"},
		Spec: v1alpha1.SeamClientSessionSpec{
			UserIdentifierKey: "shop-jane", CredentialSecretRef: v1alpha1.CredentialReference{Name: "seam"},
			Provision: &v1alpha1.Provision{WhenDeleted: v1alpha1.ProvisionedDelete},
		},
	}
	Expect(api.Create(ctx, session)).To(Succeed())
	return func() bool {
		Expect(api.Get(ctx, client.ObjectKeyFromObject(session), session)).To(Succeed())
		return meta.IsStatusConditionTrue(session.Status.Conditions, v1alpha1.ConditionReady)
	}
}

// deprovision deletes that object.
func (t *trial) deprovision(ctx context.Context) func() bool {
	GinkgoHelper()
	session := &v1alpha1.SeamClientSession{ObjectMeta: metav1.ObjectMeta{Namespace: t.namespace, Name: "provisioned"}}
	Expect(api.Delete(ctx, session)).To(Succeed())
	return func() bool {
		return apierrors.IsNotFound(api.Get(ctx, client.ObjectKeyFromObject(session), session)) && len(t.server.Sessions("shop-jane")) == 0
	}
}

// day is all that an operator ever does. It ends early when the operator is refused something, and returns the metrics.
func (t *trial) day(ctx context.Context) (metrics string) {
	GinkgoHelper()
	steps := []func(context.Context) func() bool{
		func(context.Context) func() bool {
			return func() bool { return t.holds(ctx, t.namespace, seamtest.JohnToken) }
		},
		func(context.Context) func() bool {
			return func() bool { return t.workspaceServes(ctx) }
		},
		func(context.Context) func() bool {
			return func() bool {
				return meta.IsStatusConditionTrue(t.session(ctx).Status.Conditions, v1alpha1.ConditionReady)
			}
		},
		func(ctx context.Context) func() bool { return t.rotate(ctx, "seam_cst1_second") },
		t.strip,
		t.editDuringCall,
		t.rename,
		t.provision,
		t.deprovision,
		func(ctx context.Context) func() bool {
			return func() bool { metrics = t.scrape(ctx); return metrics != "" }
		},
		func(ctx context.Context) func() bool {
			return func() bool {
				allowed, _ := t.requests()
				return contains(allowed, "create events.events.k8s.io", "update leases.coordination.k8s.io", "create events")
			}
		},
	}
	for _, step := range steps {
		done := step(ctx)
		refused := false
		Eventually(func() bool {
			if done() {
				return true
			}
			_, all := t.requests()
			refused = len(all) > 0
			return refused
		}).Should(BeTrue(), t.log.String)
		if refused {
			return ""
		}
	}
	return metrics
}

// rotate gives the session another token at Seam, and waits for it.
func (t *trial) rotate(ctx context.Context, token string) func() bool {
	t.server.Change(seamtest.JohnSessionID, func(session *seamtest.Session) { session.Token = token })
	t.edit(ctx, func(session *v1alpha1.SeamClientSession) {
		metav1.SetMetaDataAnnotation(&session.ObjectMeta, v1alpha1.AnnotationRefreshRequestedAt, token)
	})
	return func() bool {
		return t.holds(ctx, t.namespace, token) && t.session(ctx).Status.LastHandledRefreshRequest == token
	}
}

// strip takes the operator's label off the Secret, and waits for it to be back.
func (t *trial) strip(ctx context.Context) func() bool {
	stripped := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: t.namespace, Name: sessionName}}
	without := client.RawPatch(types.MergePatchType, []byte(`{"metadata": {"labels": {"`+v1alpha1.LabelManagedBy+`": null}}}`))
	Expect(api.Patch(ctx, stripped, without)).To(Succeed())
	return func() bool {
		current := &corev1.Secret{}
		err := api.Get(ctx, client.ObjectKeyFromObject(stripped), current)
		return err == nil && current.Labels[v1alpha1.LabelManagedBy] == v1alpha1.ManagedBy
	}
}

// editDuringCall edits the session while Seam is asked about it, so that the status can't be written as it was read.
func (t *trial) editDuringCall(ctx context.Context) func() bool {
	t.server.SetLatency(300 * time.Millisecond)
	calls := t.server.CallCount()
	const request = "during-call"
	t.edit(ctx, func(session *v1alpha1.SeamClientSession) {
		metav1.SetMetaDataAnnotation(&session.ObjectMeta, v1alpha1.AnnotationRefreshRequestedAt, request)
	})
	Eventually(t.server.CallCount).WithPolling(time.Millisecond).Should(BeNumerically(">", calls))
	t.edit(ctx, func(session *v1alpha1.SeamClientSession) {
		metav1.SetMetaDataLabel(&session.ObjectMeta, "edited", "yes")
	})
	return func() bool { return t.session(ctx).Status.LastHandledRefreshRequest == request }
}

// rename moves the token to another Secret, and waits until the first one is gone.
func (t *trial) rename(ctx context.Context) func() bool {
	t.server.SetLatency(0)
	t.edit(ctx, func(session *v1alpha1.SeamClientSession) {
		session.Spec.Secret.Name = "other"
	})
	return func() bool {
		err := api.Get(ctx, client.ObjectKey{Namespace: t.namespace, Name: sessionName}, &corev1.Secret{})
		return apierrors.IsNotFound(err) && t.session(ctx).Status.SecretName == "other"
	}
}

func (t *trial) edit(ctx context.Context, change func(*v1alpha1.SeamClientSession)) {
	GinkgoHelper()
	session := t.session(ctx)
	before := session.DeepCopy()
	change(session)
	Expect(api.Patch(ctx, session, client.MergeFrom(before))).To(Succeed())
}

func (t *trial) session(ctx context.Context) *v1alpha1.SeamClientSession {
	GinkgoHelper()
	session := &v1alpha1.SeamClientSession{}
	Expect(api.Get(ctx, client.ObjectKey{Namespace: t.namespace, Name: sessionName}, session)).To(Succeed())
	return session
}

// workspaceServes says whether the workspace is ready, and the team, if there is one, has its token.
func (t *trial) workspaceServes(ctx context.Context) bool {
	GinkgoHelper()
	workspace := &v1alpha1.SeamWorkspace{}
	Expect(api.Get(ctx, client.ObjectKey{Namespace: t.namespace, Name: workspaceName}, workspace)).To(Succeed())
	return meta.IsStatusConditionTrue(workspace.Status.Conditions, v1alpha1.ConditionEventsPolled) &&
		(t.team == "" || t.holds(ctx, t.team, seamtest.JohnToken))
}

func (t *trial) holds(ctx context.Context, namespace, token string) bool {
	object := &corev1.Secret{}
	err := api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: sessionName}, object)
	return err == nil && string(object.Data["token"]) == token
}

// scrape returns the metrics, or nothing as long as there are none.
func (t *trial) scrape(ctx context.Context) string {
	GinkgoHelper()
	body, status, err := t.readMetrics(ctx, t.scraper)
	if err != nil || status != http.StatusOK {
		return ""
	}
	return body
}

// readMetrics asks for the metrics with a bearer token.
func (t *trial) readMetrics(ctx context.Context, token string) (body string, status int, err error) {
	GinkgoHelper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("https://127.0.0.1:%d/metrics", t.port), http.NoBody)
	Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Authorization", "Bearer "+token)
	insecure := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
	response, err := (&http.Client{Transport: insecure}).Do(request)
	if err != nil {
		return "", 0, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return string(content), response.StatusCode, err
}

func contains(all []string, wanted ...string) bool {
	return !slices.ContainsFunc(wanted, func(one string) bool { return !slices.Contains(all, one) })
}

// buffer takes what a process prints.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// String is all that was printed so far.
func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
