package acceptance

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

// stage is a namespace with sessions in it, and the operators that ran over it.
type stage struct {
	namespace string
	operators []*operator
}

// newStage makes a namespace. When the spec, or the last one of an ordered container, ends, operators are killed, and
// sessions go, so that the next spec's operator finds none.
func newStage(ctx context.Context) *stage {
	GinkgoHelper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "stage-"}}
	Expect(api.Create(ctx, namespace)).To(Succeed())
	s := &stage{namespace: namespace.Name}
	DeferCleanup(s.clear)
	return s
}

func (s *stage) clear(ctx context.Context) {
	GinkgoHelper()
	for i, o := range s.operators {
		o.kill()
		if CurrentSpecReport().Failed() {
			GinkgoWriter.Printf("the end of the log of operator %d:\n%s\n", i, tail(o.log.String()))
		}
	}
	Expect(api.DeleteAllOf(ctx, &v1alpha1.SeamClientSession{}, client.InNamespace(s.namespace))).To(Succeed())
}

// operate starts the binary, and waits until it serves metrics.
func (s *stage) operate(ctx context.Context, seamURL string, flags ...string) *operator {
	GinkgoHelper()
	o := startOperator(ctx, seamURL, flags...)
	s.operators = append(s.operators, o)
	Eventually(o.scrape).WithContext(ctx).ShouldNot(BeEmpty(), o.log.String)
	return o
}

// secretOf creates or changes a Secret of a user's.
func (s *stage) secretOf(ctx context.Context, name, key, value string) {
	GinkgoHelper()
	object := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name},
		Data:       map[string][]byte{key: []byte(value)},
	}
	err := api.Create(ctx, object)
	if apierrors.IsAlreadyExists(err) {
		err = api.Update(ctx, object)
	}
	Expect(err).NotTo(HaveOccurred())
}

// create makes a session that uses the credential Secret "seam".
func (s *stage) create(ctx context.Context, name string, spec v1alpha1.SeamClientSessionSpec) {
	GinkgoHelper()
	if spec.CredentialSecretRef.Name == "" {
		spec.CredentialSecretRef.Name = "seam"
	}
	Expect(api.Create(ctx, &v1alpha1.SeamClientSession{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}, Spec: spec,
	})).To(Succeed())
}

// refresh asks for a session to be looked at now.
func (s *stage) refresh(ctx context.Context, name, request string) {
	GinkgoHelper()
	session := s.session(ctx, name)
	before := session.DeepCopy()
	metav1.SetMetaDataAnnotation(&session.ObjectMeta, v1alpha1.AnnotationRefreshRequestedAt, request)
	Expect(api.Patch(ctx, session, client.MergeFrom(before))).To(Succeed())
}

// editSecret changes a Secret as a colleague does.
func (s *stage) editSecret(ctx context.Context, name string, change func(*corev1.Secret)) {
	GinkgoHelper()
	object := s.secret(ctx, name)
	before := object.DeepCopy()
	change(object)
	Expect(api.Patch(ctx, object, client.MergeFrom(before))).To(Succeed())
}

func (s *stage) key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: s.namespace, Name: name}
}

func (s *stage) session(ctx context.Context, name string) *v1alpha1.SeamClientSession {
	GinkgoHelper()
	session := &v1alpha1.SeamClientSession{}
	Expect(api.Get(ctx, s.key(name), session)).To(Succeed())
	return session
}

func (s *stage) sessions(ctx context.Context) []v1alpha1.SeamClientSession {
	GinkgoHelper()
	var list v1alpha1.SeamClientSessionList
	Expect(api.List(ctx, &list, client.InNamespace(s.namespace))).To(Succeed())
	return list.Items
}

func (s *stage) secret(ctx context.Context, name string) *corev1.Secret {
	GinkgoHelper()
	object := &corev1.Secret{}
	Expect(api.Get(ctx, s.key(name), object)).To(Succeed())
	return object
}

// operatorsSecrets are those that carry the operator's label.
func (s *stage) operatorsSecrets(ctx context.Context) []corev1.Secret {
	GinkgoHelper()
	var list corev1.SecretList
	Expect(api.List(ctx, &list, client.InNamespace(s.namespace),
		client.MatchingLabels{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy})).To(Succeed())
	return list.Items
}

func (s *stage) events(ctx context.Context) []eventsv1.Event {
	GinkgoHelper()
	var list eventsv1.EventList
	Expect(api.List(ctx, &list, client.InNamespace(s.namespace))).To(Succeed())
	return list.Items
}

// data is what is in a Secret, nothing if there is none.
func (s *stage) data(ctx context.Context, name string) map[string]string {
	object := &corev1.Secret{}
	if err := api.Get(ctx, s.key(name), object); err != nil {
		return nil
	}
	return text(object)
}

func text(object *corev1.Secret) map[string]string {
	data := map[string]string{}
	for key, value := range object.Data {
		data[key] = string(value)
	}
	return data
}

// condition is "status reason" of a session's condition, nothing if it is absent.
func (s *stage) condition(ctx context.Context, name, conditionType string) string {
	session := &v1alpha1.SeamClientSession{}
	if err := api.Get(ctx, s.key(name), session); err != nil {
		return err.Error()
	}
	return conditionOf(session, conditionType)
}

func conditionOf(session *v1alpha1.SeamClientSession, conditionType string) string {
	if found := meta.FindStatusCondition(session.Status.Conditions, conditionType); found != nil {
		return string(found.Status) + " " + found.Reason
	}
	return ""
}

// notReady are the sessions that are not.
func (s *stage) notReady(ctx context.Context) []string {
	var names []string
	for _, session := range s.sessions(ctx) {
		if !meta.IsStatusConditionTrue(session.Status.Conditions, v1alpha1.ConditionReady) {
			names = append(names, session.Name+": "+conditionOf(&session, v1alpha1.ConditionSynced))
		}
	}
	return names
}

// versions are the resourceVersions of all that the operator writes.
func (s *stage) versions(ctx context.Context) map[string]string {
	GinkgoHelper()
	all := map[string]string{}
	for _, session := range s.sessions(ctx) {
		all["session "+session.Name] = session.ResourceVersion
	}
	for _, object := range s.operatorsSecrets(ctx) {
		all["secret "+object.Name] = object.ResourceVersion
	}
	for _, event := range s.events(ctx) {
		all["event "+event.Name] = event.ResourceVersion
	}
	return all
}

// nothingShows fails if a token, a credential or a user identifier key is in what the operators printed, in their metrics,
// in an event or in a status. Operators that still run are stopped.
func (s *stage) nothingShows(ctx context.Context, hidden []string) {
	GinkgoHelper()
	Expect(hidden).NotTo(BeEmpty())
	shown := map[string]string{}
	for i, o := range s.operators {
		o.stop(ctx)
		shown[fmt.Sprintf("the log of operator %d", i)] = o.log.String()
		shown[fmt.Sprintf("the metrics of operator %d", i)] = o.scraped
		Expect(o.log.String()).NotTo(ContainSubstring("WARNING: DATA RACE"))
	}
	for _, session := range s.sessions(ctx) {
		status, err := json.Marshal(session.Status)
		Expect(err).NotTo(HaveOccurred())
		shown["the status of "+session.Name] = string(status)
	}
	for _, event := range s.events(ctx) {
		shown["event "+event.Name] = event.Reason + " " + event.Note
	}
	for where, what := range shown {
		for _, secret := range hidden {
			Expect(strings.Contains(what, secret)).To(BeFalse(), "%q shows in %s", secret, where)
		}
	}
}

// requests is how many requests about what the operator works on the API server has answered, of these verbs.
func requests(ctx context.Context, verbs ...string) int {
	GinkgoHelper()
	transport, err := rest.TransportFor(config)
	Expect(err).NotTo(HaveOccurred())
	metrics, err := getThrough(ctx, transport, strings.TrimSuffix(config.Host, "/")+"/metrics")
	Expect(err).NotTo(HaveOccurred())
	count := 0.0
	for _, verb := range verbs {
		for _, resource := range []string{"secrets", "seamclientsessions", "events"} {
			count += sum(metrics, "apiserver_request_total", `verb="`+verb+`"`, `resource="`+resource+`"`)
		}
	}
	return int(count)
}

// random is what the specs leave to chance. It follows from ginkgo's seed, which is printed.
var random = sync.OnceValue(func() *rand.Rand {
	seed := uint64(GinkgoRandomSeed())
	return rand.New(rand.NewPCG(seed, seed))
})
