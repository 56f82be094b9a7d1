package lifecycle

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
	"github.com/seam-session-operator/seam-session-operator/internal/secret"
)

// gone is a session of which Seam has said before that there is none, after the same request had a good answer.
func gonePreviously(seen *Observation) {
	failing(v1alpha1.ReasonSessionNotFound)(seen)
	since(time.Minute)(seen)
	meta.SetStatusCondition(&seen.Session.Status.Conditions, conditionAt(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSessionNotFound, goneMessage))
}

func TestConditions(t *testing.T) {
	kept := func(seen Observation, fetch Fetch) Attempt {
		return Attempt{Decision: Decision{Action: Fetching}, Fetch: fetch, Applied: Applied{Verdict: Keep, Secret: seen.Secret}}
	}
	for name, test := range map[string]struct {
		seen                       Observation
		attempt                    func(Observation) Attempt
		ready, synced              string
		readyIs                    metav1.ConditionStatus
		stalled, expiring, waiting bool
	}{
		"nothing was due": {
			seen: healthy(), attempt: func(seen Observation) Attempt { return Attempt{Applied: Applied{Secret: seen.Secret}} },
			ready: v1alpha1.ReasonTokenAvailable, readyIs: metav1.ConditionTrue, synced: v1alpha1.ReasonFetched,
		},
		"503": {
			seen: healthy(), attempt: func(seen Observation) Attempt { return kept(seen, refused(seam.Unavailable, fingerprint)) },
			ready: v1alpha1.ReasonTokenAvailable, readyIs: metav1.ConditionTrue, synced: v1alpha1.ReasonSeamUnavailable,
		},
		"401": {
			seen: healthy(), attempt: func(seen Observation) Attempt { return kept(seen, refused(seam.Unauthorized, fingerprint)) },
			ready: v1alpha1.ReasonTokenAvailable, readyIs: metav1.ConditionTrue, synced: v1alpha1.ReasonUnauthorized, waiting: true,
		},
		"400": {
			seen: healthy(), attempt: func(seen Observation) Attempt { return kept(seen, refused(seam.InvalidRequest, fingerprint)) },
			ready: v1alpha1.ReasonTokenAvailable, readyIs: metav1.ConditionTrue, synced: v1alpha1.ReasonInvalidRequest, stalled: true,
		},
		"503, and there is no token": {
			seen: healthy(noSecret), attempt: func(seen Observation) Attempt { return kept(seen, refused(seam.Unavailable, fingerprint)) },
			ready: v1alpha1.ReasonSeamUnavailable, readyIs: metav1.ConditionFalse, synced: v1alpha1.ReasonSeamUnavailable,
		},
		"not found, by the same request": {
			seen: healthy(), attempt: func(seen Observation) Attempt { return kept(seen, refused(seam.NotFound, fingerprint)) },
			ready: v1alpha1.ReasonSessionNotFound, readyIs: metav1.ConditionFalse, synced: v1alpha1.ReasonSessionNotFound,
		},
		"not found, and the token is that of another session": {
			seen: healthy(anothersToken), attempt: func(seen Observation) Attempt { return kept(seen, refused(seam.NotFound, fingerprint)) },
			ready: v1alpha1.ReasonTokenAvailable, readyIs: metav1.ConditionTrue, synced: v1alpha1.ReasonSessionNotFound,
		},
		"not found, by another": {
			seen: healthy(), attempt: func(seen Observation) Attempt { return kept(seen, refused(seam.NotFound, "another")) },
			ready: v1alpha1.ReasonTokenAvailable, readyIs: metav1.ConditionTrue, synced: v1alpha1.ReasonSessionNotFound,
		},
		"not found by a request that never had a good answer": {
			seen:    healthy(status(func(s *v1alpha1.SeamClientSessionStatus) { *s = v1alpha1.SeamClientSessionStatus{} })),
			attempt: func(seen Observation) Attempt { return kept(seen, refused(seam.NotFound, "another")) },
			ready:   v1alpha1.ReasonTokenAvailable, readyIs: metav1.ConditionTrue, synced: v1alpha1.ReasonSessionNotFound,
		},
		"503 after it was not found": {
			seen: healthy(gonePreviously), attempt: func(seen Observation) Attempt { return kept(seen, refused(seam.Unavailable, fingerprint)) },
			ready: v1alpha1.ReasonSessionNotFound, readyIs: metav1.ConditionFalse, synced: v1alpha1.ReasonSeamUnavailable,
		},
		"another question after it was not found": {
			seen: healthy(gonePreviously), attempt: func(seen Observation) Attempt { return kept(seen, refused(seam.NotFound, "another")) },
			ready: v1alpha1.ReasonSessionNotFound, readyIs: metav1.ConditionFalse, synced: v1alpha1.ReasonSessionNotFound,
		},
		"good after it was not found": {
			seen: healthy(gonePreviously), attempt: func(seen Observation) Attempt {
				return Attempt{Decision: Decision{Action: Fetching}, Fetch: good(), Applied: Applied{Verdict: Write, Effect: Written, Secret: seen.Secret}}
			},
			ready: v1alpha1.ReasonTokenAvailable, readyIs: metav1.ConditionTrue, synced: v1alpha1.ReasonFetched,
		},
		"ended": {
			seen: healthy(), attempt: func(seen Observation) Attempt { return kept(seen, good(ended)) },
			ready: v1alpha1.ReasonSessionExpired, readyIs: metav1.ConditionFalse, synced: v1alpha1.ReasonFetched,
		},
		"the token ends while no call is free": {
			seen: healthy(tokenEnded5m), attempt: func(seen Observation) Attempt { return kept(seen, Fetch{Progress: Queued}) },
			ready: v1alpha1.ReasonSessionExpired, readyIs: metav1.ConditionFalse, synced: v1alpha1.ReasonFetched,
		},
		"the Secret is deleted while no call is free": {
			seen: healthy(noSecret), attempt: func(seen Observation) Attempt { return kept(seen, Fetch{Progress: Queued}) },
			ready: v1alpha1.ReasonPending, readyIs: metav1.ConditionFalse, synced: v1alpha1.ReasonFetched,
		},
		"the spec changes while no call is free": {
			seen: healthy(oldSpec), attempt: func(seen Observation) Attempt { return kept(seen, Fetch{Progress: Queued}) },
			ready: v1alpha1.ReasonPending, readyIs: metav1.ConditionFalse, synced: v1alpha1.ReasonFetched,
		},
		"it ends soon": {
			seen: healthy(status(func(s *v1alpha1.SeamClientSessionStatus) {
				s.ExpiresAt, s.ExpiryObservedTime = at(time.Minute), at(-time.Hour)
			})),
			attempt: func(seen Observation) Attempt { return Attempt{Applied: Applied{Secret: seen.Secret}} },
			ready:   v1alpha1.ReasonTokenAvailable, readyIs: metav1.ConditionTrue, synced: v1alpha1.ReasonFetched, expiring: true,
		},
		"suspended": {
			seen:    healthy(func(seen *Observation) { seen.Session.Spec.Suspend = true }),
			attempt: func(seen Observation) Attempt { return Attempt{Applied: Applied{Secret: seen.Secret}} },
			ready:   v1alpha1.ReasonTokenAvailable, readyIs: metav1.ConditionTrue, synced: v1alpha1.ReasonSuspended, waiting: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			next := NextStatus(test.seen, test.attempt(test.seen), now)
			ready := meta.FindStatusCondition(next.Conditions, v1alpha1.ConditionReady)
			if ready.Reason != test.ready || ready.Status != test.readyIs {
				t.Errorf("Ready %s %s: %s", ready.Status, ready.Reason, ready.Message)
			}
			if got := syncedReason(&next); got != test.synced {
				t.Errorf("Synced %s", got)
			}
			if got := meta.IsStatusConditionTrue(next.Conditions, v1alpha1.ConditionStalled); got != test.stalled {
				t.Errorf("Stalled %v", got)
			}
			if got := meta.IsStatusConditionTrue(next.Conditions, v1alpha1.ConditionExpiring); got != test.expiring {
				t.Errorf("Expiring %v", got)
			}
			if got := next.NextFetchTime == nil; got != test.waiting {
				t.Errorf("next fetch %v", next.NextFetchTime)
			}
		})
	}
}

func TestFirstQueueingSaysNothing(t *testing.T) {
	seen := healthy(noSecret, status(func(s *v1alpha1.SeamClientSessionStatus) { *s = v1alpha1.SeamClientSessionStatus{} }))
	next := NextStatus(seen, Attempt{Decision: Decision{Action: Fetching}, Fetch: Fetch{Progress: Queued}}, now)
	if len(next.Conditions) != 0 {
		t.Errorf("a status is written for every session that waits for its first call: %v", next.Conditions)
	}
}

func TestAnEndedSiblingBringsNoTokenBack(t *testing.T) {
	sibling := good(ended, func(s *seam.ClientSession) { s.ID = "cst2" })
	seen := healthy(status(func(s *v1alpha1.SeamClientSessionStatus) {
		s.ExpiresAt, s.LastFetchTime = at(-2*time.Hour), at(-time.Hour)
	}))
	seen.Secret.ExpiresAt = nil
	got := NextStatus(seen, Attempt{Fetch: sibling, Applied: Applied{Verdict: KeepOther, Secret: seen.Secret}}, now)
	if ready := meta.FindStatusCondition(got.Conditions, v1alpha1.ConditionReady); ready.Reason != v1alpha1.ReasonSessionExpired {
		t.Errorf("a token that Seam has ended: %+v", ready)
	}
}

func TestAnEndedSiblingOfAnotherSpecBringsNoGoneTokenBack(t *testing.T) {
	sibling := good(ended, func(s *seam.ClientSession) { s.ID = "cst2" })
	seen := healthy(gonePreviously, oldSpec)
	seen.Session.Status = NextStatus(seen, Attempt{Fetch: sibling, Applied: Applied{Verdict: Keep, Secret: seen.Secret}}, now)
	seen.Secret.ForSpec = true // the spec is as it was
	got := NextStatus(seen, Attempt{Applied: Applied{Secret: seen.Secret}}, now)
	if ready := meta.FindStatusCondition(got.Conditions, v1alpha1.ConditionReady); ready.Reason != v1alpha1.ReasonSessionNotFound {
		t.Errorf("a token that is gone: %+v", ready)
	}
}

func TestWhatIsRecorded(t *testing.T) {
	seen := healthy(failing(v1alpha1.ReasonUnauthorized), status(func(s *v1alpha1.SeamClientSessionStatus) { s.FailedRequestFingerprint = "another" }))
	sibling := good(ended, func(s *seam.ClientSession) { s.ID = "cst2" })
	others := seen.Secret
	others.ClientSessionID = "cst3"
	for name, test := range map[string]struct {
		attempt Attempt
		change  func(*v1alpha1.SeamClientSessionStatus) // what differs from before, conditions left out
	}{
		"a good answer": {
			Attempt{Fetch: good(), Applied: Applied{Verdict: Write, Effect: Written, Secret: seen.Secret}},
			func(s *v1alpha1.SeamClientSessionStatus) {
				s.FailedFetches, s.FailedRequestFingerprint = 0, ""
				s.LastFetchTime, s.LastAttemptTime, s.ExpiryObservedTime, s.LastRotationTime = at(0), at(0), at(0), at(0)
				s.ExpiresAt, s.TokenFingerprint, s.WorkspaceID = at(48*time.Hour), tokenFingerprint("seam_cst1_token"), "ws1"
			},
		},
		"403": {
			Attempt{Fetch: refused(seam.Forbidden, "another"), Applied: Applied{Secret: seen.Secret}},
			func(s *v1alpha1.SeamClientSessionStatus) { s.FailedFetches, s.LastAttemptTime = 4, at(0) },
		},
		"401": {
			Attempt{Fetch: refused(seam.Unauthorized, "another"), Applied: Applied{Secret: seen.Secret}},
			func(s *v1alpha1.SeamClientSessionStatus) {
				s.FailedFetches, s.LastAttemptTime, s.FailedRequestFingerprint = 4, at(0), ""
			},
		},
		"a good answer that can't be written": {
			Attempt{Fetch: good(), Applied: Applied{Verdict: Write, Secret: seen.Secret, Problem: &Problem{Cause: SecretRefused}}},
			func(s *v1alpha1.SeamClientSessionStatus) {
				s.FailedFetches, s.FailedWrites, s.LastAttemptTime, s.FailedRequestFingerprint = 0, 1, at(0), ""
			},
		},
		"labels that can't be restored": {
			Attempt{Applied: Applied{Secret: seen.Secret, Problem: &Problem{Cause: SecretRefused}}},
			func(s *v1alpha1.SeamClientSessionStatus) {
				s.FailedWrites, s.FailedRequestFingerprint = 1, ""
				s.LastRefusal = &v1alpha1.Refusal{Time: *at(-10 * time.Second), Reason: v1alpha1.ReasonUnauthorized, Message: "it failed", RequestFingerprint: "another"}
			},
		},
		"no call, since the credential is held back": {
			Attempt{Fetch: Fetch{Progress: Prevented, Problem: &Problem{Cause: CredentialRefused}}, Applied: Applied{Secret: seen.Secret}},
			func(s *v1alpha1.SeamClientSessionStatus) { s.FailedRequestFingerprint = "" },
		},
		"a label that is restored": {
			Attempt{Applied: Applied{Effect: Restored, Secret: seen.Secret}},
			func(s *v1alpha1.SeamClientSessionStatus) {
				s.SecretRepairs = &v1alpha1.SecretRepairs{Count: 1, LastTime: *at(0)}
			},
		},
		"an ended sibling": {
			Attempt{Fetch: sibling, Applied: Applied{Verdict: KeepOther, Secret: seen.Secret}},
			func(s *v1alpha1.SeamClientSessionStatus) {
				s.FailedFetches, s.FailedRequestFingerprint, s.LastFetchTime, s.LastAttemptTime = 0, "", at(0), at(0)
			},
		},
		"an ended sibling, beside the token of a session that another request gave": {
			Attempt{Fetch: sibling, Applied: Applied{Verdict: KeepOther, Secret: others}},
			func(s *v1alpha1.SeamClientSessionStatus) {
				s.FailedFetches, s.FailedRequestFingerprint, s.LastFetchTime, s.LastAttemptTime = 0, "", at(0), at(0)
				s.ClientSessionID, s.RequestFingerprint = others.ClientSessionID, ""
			},
		},
		"not found, and removed": {
			Attempt{Fetch: refused(seam.NotFound, fingerprint), Applied: Applied{Verdict: Remove, Effect: Removed}},
			func(s *v1alpha1.SeamClientSessionStatus) {
				s.FailedFetches, s.LastAttemptTime, s.NotFoundSince, s.FailedRequestFingerprint = 4, at(0), at(0), fingerprint
				s.SecretName, s.TokenFingerprint = "", ""
			},
		},
		"a call that was to extend it, and failed": {
			Attempt{Fetch: Fetch{At: now, Provided: Provided{Tried: true, Problem: &Problem{Cause: SeamDown}}}, Applied: Applied{Secret: seen.Secret}},
			func(s *v1alpha1.SeamClientSessionStatus) { s.LastAttemptTime = at(0) },
		},
		"too late": {
			Attempt{Fetch: Fetch{Progress: TooLate, At: now}, Applied: Applied{Secret: seen.Secret}},
			func(s *v1alpha1.SeamClientSessionStatus) { s.LastAttemptTime = at(0) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			want := seen.Session.Status.DeepCopy()
			test.change(want)
			got := NextStatus(seen, test.attempt, now)
			want.Conditions, want.NextFetchTime, got.Conditions, got.NextFetchTime = nil, nil, nil, nil
			want.Reason, want.WaitingFor, got.Reason, got.WaitingFor = "", "", "", "" // see TestSummary and TestWaitingFor
			if !equality.Semantic.DeepEqual(*want, got) {
				t.Errorf("got  %+v\nwant %+v", got, *want)
			}
		})
	}
}

func TestTransitions(t *testing.T) {
	before := healthy().Session.Status
	for name, test := range map[string]struct {
		change func(*v1alpha1.SeamClientSessionStatus)
		effect Effect
		want   string
	}{
		"nothing":         {func(*v1alpha1.SeamClientSessionStatus) {}, Untouched, ""},
		"labels restored": {func(*v1alpha1.SeamClientSessionStatus) {}, Restored, "SecretRepaired"},
		"written":         {func(*v1alpha1.SeamClientSessionStatus) {}, Written, "TokenWritten"},
		"another token":   {func(s *v1alpha1.SeamClientSessionStatus) { s.TokenFingerprint = "ba9876543210" }, Written, "TokenRotated"},
		"another session": {func(s *v1alpha1.SeamClientSessionStatus) { s.ClientSessionID = "cst2" }, Written, "SessionReplaced"},
		"a later end":     {func(s *v1alpha1.SeamClientSessionStatus) { s.ExpiresAt = at(48 * time.Hour) }, Written, "ExpiryExtended"},
		"removed":         {func(s *v1alpha1.SeamClientSessionStatus) { s.TokenFingerprint = "" }, Removed, "SecretDeleted"},
		"a new reason":    {func(s *v1alpha1.SeamClientSessionStatus) { setReason(s, v1alpha1.ConditionSynced, "Unauthorized") }, Untouched, "Unauthorized"},
		"expired":         {func(s *v1alpha1.SeamClientSessionStatus) { setReason(s, v1alpha1.ConditionReady, "SessionExpired") }, Untouched, "SessionExpired"},
		"expires":         {func(s *v1alpha1.SeamClientSessionStatus) { setReason(s, v1alpha1.ConditionExpiring, "NotRenewed") }, Untouched, "Expiring"},
		"rotated and failed": {func(s *v1alpha1.SeamClientSessionStatus) {
			s.TokenFingerprint = "ba9876543210"
			setReason(s, v1alpha1.ConditionSynced, "RateLimited")
		}, Written, "TokenRotated RateLimited"},
	} {
		t.Run(name, func(t *testing.T) {
			after := before.DeepCopy()
			test.change(after)
			attempt := Attempt{Fetch: refused(seam.Unauthorized, fingerprint), Applied: Applied{Effect: test.effect}}
			var got []string
			for _, transition := range Transitions(healthy().Session, &before, after, attempt) {
				got = append(got, transition.Reason)
				if warning := transition.Reason == "Unauthorized" || transition.Reason == "RateLimited"; warning != (transition.RequestID == "req-1") {
					t.Errorf("%s with Seam's request %q", transition.Reason, transition.RequestID)
				}
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestRepairsAreTold(t *testing.T) {
	seen := healthy(scribbled, func(seen *Observation) { seen.Secret.Manager = "vault-agent" })
	attempt := Attempt{
		Decision: Decision{Action: Correcting}, Fetch: good(func(s *seam.ClientSession) { s.ExpiresAt = &at(24 * time.Hour).Time }),
		Applied: Applied{Verdict: Write, Effect: Written, Secret: healthy().Secret},
	}
	seen.Session.Status.TokenFingerprint = tokenFingerprint("seam_cst1_token")
	for i := range 7 {
		before := seen.Session.Status
		seen.Session.Status = NextStatus(seen, attempt, now)
		if repairs := seen.Session.Status.SecretRepairs; *repairs != (v1alpha1.SecretRepairs{Count: int32(i + 1), LastTime: *at(0), LastManager: "vault-agent"}) {
			t.Errorf("got %+v", repairs)
		}
		said := Transitions(seen.Session, &before, &seen.Session.Status, attempt)
		want := Transition{Type: "Normal", Reason: "SecretRepaired", Note: `field manager "vault-agent" had changed Secret "jane", and it was corrected`, Repeats: true}
		if len(said) != 1 || said[0] != want {
			t.Errorf("got %v", said)
		}
	}
	seen.Secret.Manager = ""
	if got := opponent(seen); got != "vault-agent" {
		t.Errorf("who keeps changing it is %q", got)
	}
	after := NextStatus(seen, attempt, now)
	if note := repairNote(seen.Session, &after); note != `something else had changed or deleted Secret "jane", and it was corrected` {
		t.Error(note)
	}
}

func setReason(s *v1alpha1.SeamClientSessionStatus, conditionType, reason string) {
	meta.SetStatusCondition(&s.Conditions, conditionAt(conditionType, metav1.ConditionFalse, reason, "because"))
}

func TestPause(t *testing.T) {
	for name, test := range map[string]struct {
		seen    Observation
		attempt Attempt
		want    time.Duration
	}{
		"until the next fetch": {healthy(), Attempt{}, 45 * time.Minute},
		"until the token ends": {healthy(status(func(s *v1alpha1.SeamClientSessionStatus) {
			s.ExpiresAt, s.ExpiryObservedTime = at(20*time.Minute), at(-24*time.Hour)
		})), Attempt{}, 20 * time.Minute},
		"nothing is due":                {healthy(status(func(s *v1alpha1.SeamClientSessionStatus) { s.NextFetchTime, s.ExpiresAt = nil, nil })), Attempt{}, 0},
		"due already":                   {healthy(status(func(s *v1alpha1.SeamClientSessionStatus) { s.NextFetchTime = at(-time.Hour) })), Attempt{}, time.Second},
		"failed, and due already":       {healthy(status(func(s *v1alpha1.SeamClientSessionStatus) { s.NextFetchTime = at(-time.Hour) })), Attempt{Fetch: refused(seam.Unavailable, fingerprint)}, 5 * time.Second},
		"due, and waiting for a call":   {healthy(status(func(s *v1alpha1.SeamClientSessionStatus) { s.NextFetchTime = at(-time.Hour) })), Attempt{Fetch: Fetch{Progress: Queued, LookAgain: now.Add(time.Minute)}}, time.Minute},
		"deferred":                      {healthy(status(func(s *v1alpha1.SeamClientSessionStatus) { s.NextFetchTime = at(-time.Hour) })), Attempt{Decision: Decision{Action: Defer, LookAgain: now.Add(3 * time.Second)}}, 3 * time.Second},
		"overtaken":                     {healthy(), Attempt{Applied: Applied{Effect: Overtaken}}, 5 * time.Second},
		"a credential is tried again":   {healthy(status(func(s *v1alpha1.SeamClientSessionStatus) { s.NextFetchTime = nil })), Attempt{Fetch: Fetch{LookAgain: now.Add(time.Minute)}}, time.Minute},
		"a grant is waited for":         {healthy(provisions, provisioning(func(p *v1alpha1.Provisioning) { p.Reason, p.NotBefore = "Unauthorized", at(-time.Second) }), status(awaitsGrant), status(func(s *v1alpha1.SeamClientSessionStatus) { s.ExpiresAt = at(-time.Hour) })), Attempt{Decision: Decision{Action: Refuse, Problem: &Problem{Cause: WorkspaceUngranted}}}, 0},
		"a conflict is looked at again": {healthy(status(func(s *v1alpha1.SeamClientSessionStatus) { s.NextFetchTime = nil })), Attempt{Decision: Decision{Action: Refuse, Problem: &Problem{}, LookAgain: now.Add(10 * time.Second)}}, 10 * time.Second},
	} {
		if got := Pause(test.seen.Session, test.attempt, now); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func TestCausesAgree(t *testing.T) {
	reasons := map[string]Row{}
	for cause, row := range Causes {
		if row.Reason == "" || Conditions[row.Reason] != "" {
			t.Errorf("cause %d: reason %q", cause, row.Reason)
		}
		known, ok := reasons[row.Reason]
		reasons[row.Reason] = row
		if ok && (known.Schedule != row.Schedule || (known.Cure == CuredByReference) != (row.Cure == CuredByReference)) {
			t.Errorf("what a stored %s means depends on its cause", row.Reason)
		}
		if row.Kind == Blocked && row.Cure != CuredBySpec {
			t.Errorf("cause %d: blocked, and yet something else helps", cause)
		}
	}
	for kind := seam.Unavailable; kind <= seam.Mismatch; kind++ {
		if _, ok := seamCauses[kind]; !ok {
			t.Errorf("nothing is known of Seam's %s", kind)
		}
	}
}

func TestMessagesNameTheFieldToCorrect(t *testing.T) {
	for asked, spec := range map[string]v1alpha1.SeamClientSessionSpec{
		"this spec.clientSessionID":                       {ClientSessionID: "c1"},
		"this spec.userIdentifierKey":                     {UserIdentifierKey: "jane-the-user-key"},
		`the user whose key is in key "id" of Secret "u"`: {UserIdentifierKeySecretRef: &v1alpha1.SecretKeyReference{Name: "u", Key: "id"}},
	} {
		session := &v1alpha1.SeamClientSession{Spec: spec}
		message := SeamProblem(session, &seam.Error{Kind: seam.NotFound}, false, now).Message
		if !strings.HasPrefix(message, "Seam has no client session of "+asked+" in the workspace of ") || strings.Contains(message, "jane") {
			t.Errorf("%s: %s", asked, message)
		}
		ended := v1alpha1.SeamClientSessionStatus{ExpiresAt: &metav1.Time{Time: time.Unix(0, 0)}}
		message = expiredMessage(session, ended)
		if !strings.HasPrefix(message, "the session ended at 1970-01-01T00:00:00Z: ") ||
			strings.HasSuffix(message, "which spec.clientSessionID then has to name") != (spec.ClientSessionID != "") {
			t.Errorf("%s: %s", asked, message)
		}
		session.Spec.Suspend = true
		if message = expiredMessage(session, ended); strings.Contains(message, "noticed by itself") || !strings.Contains(message, "spec.suspend") {
			t.Errorf("%s, suspended: %s", asked, message)
		}
	}
}

func TestMessagesListTheKeysOfASecret(t *testing.T) {
	many := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}
	for _, test := range []struct {
		keys []string
		want string
	}{
		{nil, ", nor any other"},
		{[]string{"SEAM_KEY", "api-key"}, `, it has "SEAM_KEY", "api-key"`},
		{many, `, it has "a", "b", "c", "d", "e", "f", "g", "h" and 2 more`},
		{[]string{"seam_apikey1_token", "x"}, `, it has "x" and 1 more`},
		{[]string{"eyJhbGciOi", strings.Repeat("x", 65)}, ", and 2 that are not shown"},
	} {
		if got := ListKeys(test.keys, 0); got != test.want {
			t.Errorf("%v: %s", test.keys, got)
		}
	}
}

func TestConflictsAreExplained(t *testing.T) {
	session := healthy().Session
	for name, test := range map[string]struct {
		state secret.State
		cause Cause
		says  string
	}{
		"somebody's": {secret.State{Exists: true}, SecretForeign, "is not of this operator: set spec.secret.name to another name; or, once whoever it belongs to agrees that all " +
			"that is in it is replaced, let it be taken over: kubectl -n shop annotate secret jane connect.seam.co/adopt-by=jane"},
		"a chart's":         {secret.State{Exists: true, Origin: "annotation meta.helm.sh/release-name=web"}, SecretForeign, "is not of this operator (it has annotation meta.helm.sh/release-name=web): "},
		"somebody's frozen": {secret.State{Exists: true, Immutable: true}, SecretForeign, "it can't be taken over"},
		"another session's": {secret.State{Exists: true, Session: "john"}, SecretForeign, `belongs to SeamClientSession "john"`},
		"a controller's":    {secret.State{Exists: true, Session: "jane", Controller: "Deployment web"}, SecretForeign, "controlled by Deployment web"},
		"of a longer name":  {secret.State{Exists: true, Session: strings.Repeat("x", 300)}, SecretForeign, "is not of this operator"},
		"immutable":         {secret.State{Exists: true, Ours: true, Immutable: true}, SecretUnchangeable, "was made immutable"},
		"of another type":   {secret.State{Exists: true, Ours: true, TypeDiffers: true}, SecretUnchangeable, "another type"},
	} {
		if p := ConflictProblem(test.state, session); p == nil || p.Cause != test.cause || !strings.Contains(p.Message, test.says) {
			t.Errorf("%s: %v", name, p)
		}
	}
	for _, state := range []secret.State{{}, {Exists: true, Ours: true}, {Exists: true, Adoptable: true}} {
		if p := ConflictProblem(state, session); p != nil {
			t.Errorf("%+v: %v", state, p)
		}
	}
}
