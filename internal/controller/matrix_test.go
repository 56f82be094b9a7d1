package controller

import (
	"net/http"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

// situation is one way in which asking Seam goes wrong, and what the user sees of it.
type situation struct {
	// what goes wrong.
	what trouble
	// synced is the reason of Synced, which is False, of the one warning that is emitted, and of Ready for as long as there
	// is no token.
	synced string
	// says is a part of the message.
	says string
	// again is the time to the next call. That of an hour is jittered: up to a tenth less.
	again time.Duration
	// stalled says whether only a change of the object can help.
	stalled bool
	// ready is the reason of Ready where a good token is in the Secret; empty is TokenAvailable.
	ready string
}

// firstBackOff is the first pause of a back-off that doubles, interval the refreshInterval of all sessions here.
const (
	firstBackOff = 5 * time.Second
	interval     = time.Hour
)

var situations = []situation{
	// Seam refuses the credential: nothing but another credential helps, and one probe a minute looks whether it does.
	{what: answer(seamtest.Unauthorized), synced: v1alpha1.ReasonUnauthorized, again: time.Minute,
		says: `Seam refuses the credential in Secret "seam": seam answered 401 unauthorized`},
	{what: answer(seamtest.SecretsEverywhere), synced: v1alpha1.ReasonUnauthorized, again: time.Minute,
		says: "put a valid one there, it is noticed within seconds"},
	{what: answer(seamtest.Forbidden), synced: v1alpha1.ReasonUnauthorized, again: firstBackOff,
		says: `Seam does not let the credential in Secret "seam" read this session`},

	// Only Seam's own word for it is believed to mean that a session is gone.
	{what: answer(seamtest.NotFound), synced: v1alpha1.ReasonSessionNotFound, again: firstBackOff,
		says: "create it at Seam", ready: v1alpha1.ReasonSessionNotFound},
	{what: answer(seamtest.NotFoundUntyped), synced: v1alpha1.ReasonInvalidResponse, again: firstBackOff,
		says: "seam answered 404: check --seam-endpoint"},

	// What is asked for is wrong: that is for the author of the object.
	{what: answer(seamtest.BadRequest), synced: v1alpha1.ReasonInvalidRequest, again: interval, stalled: true,
		says: "check the client session ID or user identifier key that is asked for"},
	{what: answer(seamtest.BadRequestPlain), synced: v1alpha1.ReasonInvalidRequest, again: interval, stalled: true,
		says: "check the client session ID or user identifier key that is asked for"},

	// Seam asks for patience, and says for how long or not.
	{what: answer(seamtest.RateLimitedSeconds), synced: v1alpha1.ReasonRateLimited, again: 20 * time.Second,
		says: "too many requests with this credential; it is asked again later"},
	{what: answer(seamtest.RateLimitedDate), synced: v1alpha1.ReasonRateLimited, again: 20 * time.Second,
		says: "too many requests with this credential; it is asked again later"},
	{what: answer(seamtest.RateLimitedSilent), synced: v1alpha1.ReasonRateLimited, again: firstBackOff,
		says: "too many requests with this credential; it is asked again later"},

	// Seam is down.
	{what: answer(seamtest.RequestTimeout), synced: v1alpha1.ReasonSeamUnavailable, again: firstBackOff,
		says: "seam answered 408: it is asked again"},
	{what: answer(seamtest.ServerError), synced: v1alpha1.ReasonSeamUnavailable, again: firstBackOff,
		says: "seam answered 500 internal_server_error: it is asked again"},
	{what: answer(seamtest.BadGateway), synced: v1alpha1.ReasonSeamUnavailable, again: firstBackOff,
		says: "seam answered 502: it is asked again; if this lasts, see whether Seam or a proxy before it is down"},
	{what: answer(seamtest.Outage), synced: v1alpha1.ReasonSeamUnavailable, again: firstBackOff,
		says: "seam answered 503: it is asked again"},

	// The network is down, or is not what it should be.
	{what: answer(seamtest.ResetBeforeHeaders), synced: v1alpha1.ReasonSeamUnavailable, again: firstBackOff,
		says: "seam can't be reached: connection reset; it is asked again by itself"},
	{what: answer(seamtest.ResetInBody), synced: v1alpha1.ReasonSeamUnavailable, again: firstBackOff,
		says: "seam can't be reached: connection reset; it is asked again by itself"},
	{what: slow(answer(seamtest.Hang)), synced: v1alpha1.ReasonSeamUnavailable, again: firstBackOff,
		says: "seam can't be reached: timed out after 100ms; it is asked again"},
	{what: slow(silence()), synced: v1alpha1.ReasonSeamUnavailable, again: firstBackOff,
		says: "seam can't be reached: timed out after 100ms; it is asked again"},
	{what: detour("connection refused", "http://127.0.0.1:1"), synced: v1alpha1.ReasonSeamUnavailable, again: firstBackOff,
		says: "seam can't be reached: connection refused; it is asked again by itself. If this lasts, see whether Seam is down, and whether network policies"},
	{what: detour("a host that doesn't resolve", "http://seam.invalid"), synced: v1alpha1.ReasonSeamUnavailable, again: firstBackOff,
		says: "seam can't be reached: "}, // what else depends on whether there is a resolver
	{what: unknownCA(), synced: v1alpha1.ReasonSeamUnavailable, again: firstBackOff,
		says: "certificate signed by unknown authority: give the certificate of its CA with --seam-ca-file"},

	// Somebody answers, and it isn't Seam.
	{what: answer(seamtest.Redirect), synced: v1alpha1.ReasonInvalidResponse, again: firstBackOff,
		says: "a redirect, which is not followed: check --seam-endpoint"},
	{what: answer(seamtest.HugeBody), synced: v1alpha1.ReasonInvalidResponse, again: firstBackOff,
		says: "the answer is longer than 1 MiB: check --seam-endpoint"},
	{what: answer(seamtest.TruncatedJSON), synced: v1alpha1.ReasonInvalidResponse, again: firstBackOff},
	{what: answer(seamtest.HTML), synced: v1alpha1.ReasonInvalidResponse, again: firstBackOff,
		says: "check --seam-endpoint, and what is between here and Seam"},

	// Seam answers, and the answer can't be used.
	{what: answer(seamtest.NotOK), synced: v1alpha1.ReasonInvalidResponse, again: firstBackOff},
	{what: answer(seamtest.EmptyToken), synced: v1alpha1.ReasonInvalidResponse, again: firstBackOff},
	{what: answer(seamtest.NoSession), synced: v1alpha1.ReasonInvalidResponse, again: firstBackOff},
	{what: answer(seamtest.UnreadableExpiry), synced: v1alpha1.ReasonInvalidResponse, again: firstBackOff},
	{what: answer(seamtest.AnotherSession), synced: v1alpha1.ReasonSessionMismatch, again: firstBackOff},
	{what: answer(seamtest.AnotherWorkspace), synced: v1alpha1.ReasonSessionMismatch, again: firstBackOff},
}

// answersThatAreGood are the faults that are none: each has a spec of its own below.
var answersThatAreGood = []string{seamtest.PastExpiry.Name, seamtest.NoExpiry.Name, seamtest.UnknownFields.Name}

var _ = Describe("When asking Seam fails", func() {
	It("is proved for every fault there is", func() {
		var proved []string
		for _, s := range situations {
			proved = append(proved, s.what.name)
		}
		for _, fault := range seamtest.Faults {
			Expect(append(proved, answersThatAreGood...)).To(ContainElement(fault.Name))
		}
	})

	for _, s := range situations {
		Context("with "+s.what.name, func() {
			var w *matrixWorld
			BeforeEach(func() { w = newMatrixWorld() })

			It("says so where there is no token yet, and is Ready once it ends", func() {
				w.begin(s.what)
				w.hourly("jane")
				w.settle("jane")

				w.expectFailure(s)
				Expect(w.condition("jane", v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, s.synced))
				Expect(w.condition("jane", v1alpha1.ConditionReady).Message).To(Equal(
					`there is no usable token in Secret "jane": Synced says why, and what to do`))
				w.expectNoSecret("jane")
				Expect(w.eventReasons()).To(Equal([]string{s.synced}))

				w.expectSteadyFailure(s)
				w.expectNoSecret("jane")
				Expect(w.eventReasons()).To(Equal([]string{s.synced}))

				w.end(s.what)
				w.expectRecovery()
			})

			It("leaves a good token alone until the second in which that ends, and is Ready again once the trouble ends", func() {
				w.hourly("jane")
				w.settle("jane")
				w.expectReady("jane")
				before := w.secret("jane")
				w.begin(s.what)
				w.untilNextCall()

				w.expectFailure(s)
				w.expectReadyOrAs(s)
				Expect(w.secret("jane")).To(Equal(before))
				Expect(w.eventReasons()).To(Equal([]string{"TokenWritten", s.synced}))

				w.expectSteadyFailure(s)
				Expect(w.secret("jane")).To(Equal(before))

				// What comes then is the same again and again: the process is suspended meanwhile.
				if almost := w.ends.Add(-5 * time.Minute); almost.After(w.clock.Now()) {
					w.clock.SetTime(almost)
				}
				w.advance(w.ends.Add(-time.Second).Sub(w.clock.Now()))
				w.expectReadyOrAs(s)
				w.advance(time.Second)
				Expect(w.condition("jane", v1alpha1.ConditionReady).Status).To(Equal(metav1.ConditionFalse))
				Expect(w.secret("jane")).To(Equal(before))
				if s.ready == "" {
					Expect(w.condition("jane", v1alpha1.ConditionReady).Reason).To(Equal(v1alpha1.ReasonSessionExpired))
					Expect(w.eventReasons()).To(Equal([]string{"TokenWritten", s.synced, "Expiring", "SessionExpired"}))
				}

				w.seam.Extend(seamtest.JohnSessionID, w.ends.Add(24*time.Hour))
				w.end(s.what)
				w.expectRecovery()
			})
		})
	}
})

// matrixWorld is a world with a network that can fail between the operator and Seam.
type matrixWorld struct {
	*world
	network network
	// ends is when the token of the session does.
	ends time.Time
}

func newMatrixWorld() *matrixWorld {
	GinkgoHelper()
	// Whatever jitter its object happens to have, the token outlives two intervals, and no third begins before it ends.
	w := &matrixWorld{world: newWorld(), ends: dawn.Add(2*time.Hour + 30*time.Minute)}
	w.seam.Extend(seamtest.JohnSessionID, w.ends)
	w.withTimeout(10 * time.Second)
	return w
}

// withTimeout restarts the operator with another timeout of calls to Seam.
func (w *matrixWorld) withTimeout(timeout time.Duration) {
	GinkgoHelper()
	w.seamConfig = func(c *seam.Config) { c.Timeout, c.Instrument = timeout, w.network.wrap }
	w.restart()
}

// hourly makes a session that is asked for every hour, until the last ten minutes of its life.
func (w *matrixWorld) hourly(name string, changes ...func(*v1alpha1.SeamClientSession)) {
	GinkgoHelper()
	w.create(name, append([]func(*v1alpha1.SeamClientSession){func(s *v1alpha1.SeamClientSession) {
		s.Spec.WorkspaceID = seamtest.Workspace1
		s.Spec.RefreshInterval = &metav1.Duration{Duration: interval}
		s.Spec.RenewBefore = &metav1.Duration{Duration: 10 * time.Minute}
	}}, changes...)...)
}

func (w *matrixWorld) begin(t trouble) {
	GinkgoHelper()
	if t.timeout != 0 {
		w.withTimeout(t.timeout)
		w.timers["jane"] = w.clock.Now()
	}
	t.begin(w)
}

func (w *matrixWorld) end(t trouble) { t.end(w) }

// untilNextCall lets time pass until Seam is called again, and returns how long that took.
func (w *matrixWorld) untilNextCall() time.Duration {
	GinkgoHelper()
	begin, calls := w.clock.Now(), w.network.calls()
	for w.network.calls() == calls {
		_, at := w.nextTimer()
		Expect(at).NotTo(BeZero(), "nothing will ever call Seam again")
		Expect(at.Sub(begin)).To(BeNumerically("<=", interval), "Seam is not called again")
		w.advance(max(0, at.Sub(w.clock.Now())))
	}
	Expect(w.network.calls()).To(Equal(calls + 1))
	return w.clock.Now().Sub(begin)
}

// expectFailure expects the conditions of a situation right after a call.
func (w *matrixWorld) expectFailure(s situation) {
	GinkgoHelper()
	synced := w.condition("jane", v1alpha1.ConditionSynced)
	Expect(synced).To(haveStatus(metav1.ConditionFalse, s.synced))
	Expect(synced.Message).To(ContainSubstring(s.says))
	stalled := w.condition("jane", v1alpha1.ConditionStalled)
	if !s.stalled {
		Expect(stalled).To(Equal(metav1.Condition{}))
		return
	}
	Expect(stalled).To(haveStatus(metav1.ConditionTrue, s.synced))
	Expect(stalled.Message).To(Equal("only a change of this object helps: Synced says which"))
}

func (w *matrixWorld) expectReadyOrAs(s situation) {
	GinkgoHelper()
	if s.ready == "" {
		w.expectReady("jane")
		return
	}
	Expect(w.condition("jane", v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, s.ready))
}

// expectSteadyFailure expects that Seam is called again when it should be, and that this writes nothing but what it must:
// when, and how often.
func (w *matrixWorld) expectSteadyFailure(s situation) {
	GinkgoHelper()
	before, writes := w.session("jane"), w.writes.count()
	wait := w.untilNextCall()
	if s.again == interval {
		Expect(wait).To(And(BeNumerically("<=", interval), BeNumerically(">=", interval*9/10)))
	} else {
		Expect(wait).To(Equal(s.again))
	}
	after := w.session("jane")
	Expect(w.writes.list[writes:]).To(Equal([]string{"patch *v1.PartialObjectMetadata jane"}))
	Expect(after.Status.FailedFetches).To(Equal(before.Status.FailedFetches + 1))
	Expect(after.Status.LastAttemptTime.Time).To(BeTemporally("==", w.clock.Now()))
	for _, status := range []*v1alpha1.SeamClientSessionStatus{&before.Status, &after.Status} {
		status.FailedFetches, status.LastAttemptTime, status.NextFetchTime = 0, nil, nil
	}
	Expect(after.Status).To(Equal(before.Status))
}

// expectRecovery expects that everything is well within an hour.
func (w *matrixWorld) expectRecovery() {
	GinkgoHelper()
	w.advance(interval)
	w.expectReady("jane")
	Expect(w.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionTrue, v1alpha1.ReasonFetched))
	Expect(w.condition("jane", v1alpha1.ConditionStalled)).To(Equal(metav1.Condition{}))
	Expect(w.session("jane").Status.FailedFetches).To(BeZero())
}

// trouble is something that goes wrong for a while.
type trouble struct {
	name       string
	begin, end func(*matrixWorld)
	// timeout of the operator's calls while it lasts; zero is the usual one.
	timeout time.Duration
}

// answer is Seam, or who stands in for it, answering in some way.
func answer(fault seamtest.Fault) trouble {
	return trouble{
		name:  fault.Name,
		begin: func(w *matrixWorld) { w.seam.Fail(fault) },
		end:   func(w *matrixWorld) { w.seam.Heal() },
	}
}

// silence is a Seam that takes a call and never answers.
func silence() trouble {
	return trouble{
		name:  "no answer",
		begin: func(w *matrixWorld) { w.seam.SetLatency(time.Minute) },
		end:   func(w *matrixWorld) { w.seam.SetLatency(0) },
	}
}

// detour is a network that leads calls elsewhere.
func detour(name, url string) trouble {
	return trouble{
		name:  name,
		begin: func(w *matrixWorld) { w.network.lead(url) },
		end:   func(w *matrixWorld) { w.network.lead("") },
	}
}

// unknownCA is a network in which somebody else terminates TLS.
func unknownCA() trouble {
	t := detour("TLS with an unknown CA", "")
	t.begin = func(w *matrixWorld) {
		stranger := seamtest.New(w.clock)
		stranger.StartTLS()
		DeferCleanup(stranger.Close)
		w.network.lead(stranger.URL())
	}
	return t
}

// slow is trouble that the operator notices by its timeout alone.
func slow(t trouble) trouble {
	t.timeout = 100 * time.Millisecond
	return t
}

// network is what lies between the operator and Seam. It counts calls, also those that never arrive.
type network struct {
	mu    sync.Mutex
	count int
	to    string
}

func (n *network) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		n.mu.Lock()
		n.count++
		to := n.to
		n.mu.Unlock()
		if scheme, host, found := strings.Cut(to, "://"); found {
			request = request.Clone(request.Context())
			request.URL.Scheme, request.URL.Host = scheme, host
		}
		return next.RoundTrip(request)
	})
}

// lead leads every call to another base URL; empty ends that.
func (n *network) lead(to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.to = to
}

func (n *network) calls() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.count
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

var _ = Describe("An answer that is unusual and good", func() {
	var w *matrixWorld
	BeforeEach(func() { w = newMatrixWorld() })

	// written makes a session whose token is good for two hours, and then has Seam answer otherwise.
	written := func(fault seamtest.Fault, changes ...func(*v1alpha1.SeamClientSession)) {
		GinkgoHelper()
		w.hourly("jane", changes...)
		w.settle("jane")
		w.expectReady("jane")
		w.seam.Fail(fault)
		w.untilNextCall()
	}

	It("without expires_at is written, and stays Ready for ever", func() {
		written(seamtest.NoExpiry)
		Expect(text(w.secret("jane"))).To(And(HaveKeyWithValue("token", seamtest.JohnToken), Not(HaveKey("expires_at"))))
		Expect(w.session("jane").Status.ExpiresAt).To(BeNil())

		w.seam.Fail(seamtest.Outage)
		w.untilNextCall()
		w.clock.Step(365 * 24 * time.Hour)
		w.untilNextCall()
		w.expectReady("jane")
		Expect(w.condition("jane", v1alpha1.ConditionReady).Message).To(Equal(`the token in Secret "jane" can be used`))
	})

	It("without expires_at is the first token as well", func() {
		w.seam.Fail(seamtest.NoExpiry)
		w.ready("jane")
		Expect(text(w.secret("jane"))).To(HaveLen(3))
		Expect(w.untilNextCall()).To(BeNumerically("~", interval*19/20, interval/20))
	})

	It("with unknown fields is written, and what can't be read of it is left out", func() {
		w.seam.Fail(seamtest.UnknownFields)
		w.ready("jane")
		Expect(text(w.secret("jane"))).To(HaveKeyWithValue("token", seamtest.JohnToken))
		Expect(w.session("jane").Status.DeviceCount).To(BeNil())
	})

	It("with unknown fields leaves a Secret alone that is as it should be", func() {
		w.ready("jane")
		before := w.secret("jane")
		w.seam.Fail(seamtest.UnknownFields)
		w.untilNextCall()
		Expect(w.secret("jane")).To(Equal(before))
		w.expectReady("jane")
		Expect(w.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionTrue, v1alpha1.ReasonFetched))
	})

	Context("with an expires_at in the past", func() {
		expectEnded := func() {
			GinkgoHelper()
			Expect(w.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionTrue, v1alpha1.ReasonFetched))
			ready := w.condition("jane", v1alpha1.ConditionReady)
			Expect(ready).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSessionExpired))
			Expect(ready.Message).To(ContainSubstring("whoever owns it extends it at Seam, with /client_sessions/get_or_create"))
			Expect(w.condition("jane", v1alpha1.ConditionStalled)).To(Equal(metav1.Condition{}))
		}

		It("is never written, is asked about ever less often, and is written once its owner has extended it", func() {
			w.seam.Extend(seamtest.JohnSessionID, dawn.Add(-time.Hour))
			w.hourly("jane")
			w.settle("jane")
			expectEnded()
			w.expectNoSecret("jane")
			Expect(w.eventReasons()).To(Equal([]string{"SessionExpired"}))
			Expect(w.untilNextCall()).To(Equal(5 * time.Second))
			Expect(w.untilNextCall()).To(Equal(5 * time.Second))
			Expect(w.untilNextCall()).To(Equal(10 * time.Second))
			Expect(w.untilNextCall()).To(Equal(20 * time.Second))
			Expect(w.eventReasons()).To(Equal([]string{"SessionExpired"}))

			w.seam.Extend(seamtest.JohnSessionID, w.ends)
			w.expectRecovery()
			Expect(w.eventReasons()).To(Equal([]string{"SessionExpired", "ExpiryExtended"}))
		})

		It("is one that has ended in the very second of its end", func() {
			w.seam.Extend(seamtest.JohnSessionID, dawn)
			w.hourly("jane")
			w.settle("jane")
			expectEnded()
			w.expectNoSecret("jane")
		})

		It("ends Ready at once where the token in the Secret was thought to last, and leaves it there", func() {
			w.hourly("jane")
			w.settle("jane")
			before := w.secret("jane")
			w.seam.Fail(seamtest.PastExpiry)
			w.untilNextCall()
			expectEnded()
			Expect(w.secret("jane")).To(Equal(before))

			w.seam.Fail(seamtest.Outage) // what Seam has said stands while it says nothing else
			w.untilNextCall()
			Expect(w.condition("jane", v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSessionExpired))

			w.seam.Heal()
			w.expectRecovery()
			Expect(w.secret("jane")).To(Equal(before))
		})

		It("removes the Secret where that is wanted, and writes it anew once the session is extended", func() {
			written(seamtest.PastExpiry, whenSessionEnds(v1alpha1.RetentionDelete))
			expectEnded()
			w.advance(2 * time.Minute)
			expectEnded()
			w.expectNoSecret("jane")
			Expect(w.session("jane").Status.SecretName).To(BeEmpty())
			Expect(w.eventReasons()).To(ContainElement("SecretDeleted"))

			w.seam.Heal()
			w.seam.Extend(seamtest.JohnSessionID, w.ends.Add(24*time.Hour))
			w.expectRecovery()
			Expect(text(w.secret("jane"))).To(HaveKeyWithValue("token", seamtest.JohnToken))
		})
	})

	It("with a later end is written, and said to be an extension", func() {
		w.hourly("jane")
		w.settle("jane")
		w.seam.Extend(seamtest.JohnSessionID, w.ends.Add(time.Hour))
		w.untilNextCall()
		Expect(text(w.secret("jane"))).To(HaveKeyWithValue("expires_at", "2026-03-01T15:30:00Z"))
		Expect(w.events.all()).To(ContainElement("Normal ExpiryExtended: the session was extended to 2026-03-01T15:30:00Z"))
	})
})

var _ = Describe("A session that Seam does not find", func() {
	var w *matrixWorld
	BeforeEach(func() { w = newMatrixWorld() })

	expectNotFound := func() {
		GinkgoHelper()
		Expect(w.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSessionNotFound))
		Expect(w.condition("jane", v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSessionNotFound))
	}

	It("loses its Secret, where that is wanted, by two such answers at least a minute apart and not before", func() {
		w.hourly("jane", whenSessionEnds(v1alpha1.RetentionDelete))
		w.settle("jane")
		w.seam.Delete(seamtest.JohnSessionID)
		w.untilNextCall()
		expectNotFound()
		before := w.secret("jane")

		for _, wait := range []time.Duration{5, 10, 20} {
			Expect(w.untilNextCall()).To(Equal(wait * time.Second))
			Expect(w.secret("jane")).To(Equal(before))
		}
		Expect(w.untilNextCall()).To(Equal(40 * time.Second))
		w.expectNoSecret("jane")
		expectNotFound()
		Expect(w.session("jane").Status.SecretName).To(BeEmpty())
		Expect(w.eventReasons()).To(Equal([]string{"TokenWritten", "SessionNotFound", "SecretDeleted"}))

		w.seam.Put(seamtest.Session{ID: seamtest.JohnSessionID, WorkspaceID: seamtest.Workspace1, Token: "seam_cst1_again", ExpiresAt: w.ends.Add(24 * time.Hour)})
		w.expectRecovery()
		Expect(text(w.secret("jane"))).To(HaveKeyWithValue("token", "seam_cst1_again"))
	})

	It("keeps its Secret if Seam takes that back within a minute", func() {
		w.hourly("jane", whenSessionEnds(v1alpha1.RetentionDelete))
		w.settle("jane")
		before := w.secret("jane")
		for range 3 {
			w.seam.Fail(seamtest.NotFound)
			w.untilNextCall()
			expectNotFound()
			w.seam.Heal()
			w.untilNextCall()
			w.expectReady("jane")
		}
		Expect(w.secret("jane")).To(Equal(before))
	})

	It("keeps its Secret by default, for as long as it is not found", func() {
		w.hourly("jane")
		w.settle("jane")
		before := w.secret("jane")
		w.seam.Delete(seamtest.JohnSessionID)
		w.advance(12 * time.Hour)
		expectNotFound()
		Expect(w.secret("jane")).To(Equal(before))
	})

	It("keeps its good token where the credential is another than the one that found it", func() {
		w.hourly("jane", whenSessionEnds(v1alpha1.RetentionDelete), func(s *v1alpha1.SeamClientSession) { s.Spec.WorkspaceID = "" })
		w.settle("jane")
		before := w.secret("jane")
		w.credential("seam", seamtest.APIKey2) // of a colleague, and of another workspace
		w.untilNextCall()

		synced := w.condition("jane", v1alpha1.ConditionSynced)
		Expect(synced).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSessionNotFound))
		Expect(synced.Message).To(ContainSubstring("or use a credential of the session's workspace"))
		w.advance(w.ends.Add(-time.Second).Sub(w.clock.Now()))
		w.expectReady("jane")
		Expect(w.secret("jane")).To(Equal(before))
		w.advance(12 * time.Hour)
		Expect(w.secret("jane")).To(Equal(before))

		w.seam.Extend(seamtest.JohnSessionID, w.clock.Now().Add(24*time.Hour))
		w.credential("seam", seamtest.APIKey1)
		w.expectRecovery()
	})

	It("does not take the good token of the session with it that was asked for before", func() {
		w.hourly("jane", whenSessionEnds(v1alpha1.RetentionDelete))
		w.settle("jane")
		before := w.secret("jane")
		w.change("jane", func(s *v1alpha1.SeamClientSession) { s.Spec.ClientSessionID = "mistyped" })
		w.settle("jane")
		w.advance(20 * time.Minute)
		expectNotFound()
		Expect(w.secret("jane")).To(Equal(before))

		w.seam.Fail(seamtest.Outage) // the mistake is taken back at a bad moment
		w.change("jane", func(s *v1alpha1.SeamClientSession) { s.Spec.ClientSessionID = seamtest.JohnSessionID })
		w.settle("jane")
		w.expectReady("jane")
		w.seam.Heal()
		w.expectRecovery()
		Expect(w.secret("jane")).To(Equal(before))
	})

	It("is asked for at once when a mistake in the object is put right", func() {
		w.hourly("jane")
		w.settle("jane")
		w.change("jane", func(s *v1alpha1.SeamClientSession) { s.Spec.ClientSessionID = "mistyped" })
		w.settle("jane")
		w.advance(time.Minute)
		w.change("jane", func(s *v1alpha1.SeamClientSession) { s.Spec.ClientSessionID = seamtest.JohnSessionID })
		w.settle("jane")
		w.expectReady("jane")
		Expect(w.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionTrue, v1alpha1.ReasonFetched))
	})
})

var _ = Describe("A user with several sessions", func() {
	var w *matrixWorld
	BeforeEach(func() {
		w = newMatrixWorld()
		w.hourly("jane", whenSessionEnds(v1alpha1.RetentionDelete), func(s *v1alpha1.SeamClientSession) {
			s.Spec.ClientSessionID, s.Spec.UserIdentifierKey = "", seamtest.JohnUserIdentifierKey
		})
		w.settle("jane")
		w.expectReady("jane")
	})

	another := func(ends time.Time) seamtest.Session {
		return seamtest.Session{ID: "cst2", WorkspaceID: seamtest.Workspace1, UserIdentifierKey: seamtest.JohnUserIdentifierKey,
			Token: "seam_cst2_token", ExpiresAt: ends}
	}

	It("keeps the good token where Seam returns an older one that has ended, until the good one ends too", func() {
		before := w.secret("jane")
		w.seam.Replace(seamtest.JohnSessionID, another(dawn.Add(-time.Hour)))
		w.untilNextCall()
		w.expectReady("jane")
		Expect(w.secret("jane")).To(Equal(before))
		Expect(w.session("jane").Status.ClientSessionID).To(Equal(seamtest.JohnSessionID))
		synced := w.condition("jane", v1alpha1.ConditionSynced)
		Expect(synced).To(haveStatus(metav1.ConditionTrue, v1alpha1.ReasonFetched))
		Expect(synced.Message).To(Equal("Seam returned client session cst2, which has ended; the token of client session cst1 stays"))

		w.advance(w.ends.Add(-time.Second).Sub(w.clock.Now()))
		w.expectReady("jane")
		Expect(w.secret("jane")).To(Equal(before))
		w.advance(time.Second)
		Expect(w.condition("jane", v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSessionExpired))
		w.advance(time.Hour)
		w.expectNoSecret("jane")
	})

	It("gets the token of the other one, and is told so, where that is good", func() {
		w.seam.Replace(seamtest.JohnSessionID, another(w.ends))
		w.untilNextCall()
		w.expectReady("jane")
		Expect(text(w.secret("jane"))).To(And(HaveKeyWithValue("token", "seam_cst2_token"), HaveKeyWithValue("client_session_id", "cst2")))
		Expect(w.session("jane").Status.ClientSessionID).To(Equal("cst2"))
		Expect(w.events.all()).To(ContainElement("Normal SessionReplaced: client session cst2 took the place of cst1"))
	})
})

var _ = Describe("A failure shortly before the end", func() {
	It("does not keep Ready true for longer than the token lasts", func() {
		w := newMatrixWorld()
		w.hourly("jane")
		w.settle("jane")
		w.advance(w.ends.Add(-15 * time.Second).Sub(w.clock.Now()))
		w.seam.Fail(seamtest.Unauthorized)
		w.advance(12 * time.Second)
		Expect(w.condition("jane", v1alpha1.ConditionSynced).Status).To(Equal(metav1.ConditionFalse))
		w.advance(2 * time.Second)
		w.expectReady("jane")
		w.advance(time.Second)
		Expect(w.condition("jane", v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSessionExpired))
	})
})

func whenSessionEnds(policy v1alpha1.RetentionAction) func(*v1alpha1.SeamClientSession) {
	return func(s *v1alpha1.SeamClientSession) { s.Spec.Secret.RetentionPolicy.WhenSessionEnds = policy }
}
