package lifecycle

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
	"github.com/seam-session-operator/seam-session-operator/internal/secret"
)

// now is when every test decides.
var now = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

// fingerprint is that of the request that last had a good answer.
const fingerprint = "4c263bb8fb1f"

func at(after time.Duration) *metav1.Time { return &metav1.Time{Time: now.Add(after)} }

// healthy is a session that was fetched ten minutes ago, and whose token lasts another day; changes makes something else of
// it.
func healthy(changes ...func(*Observation)) Observation {
	seen := Observation{
		Session: &v1alpha1.SeamClientSession{
			ObjectMeta: metav1.ObjectMeta{Name: "jane", Namespace: "shop", UID: "1", Generation: 2},
			Spec: v1alpha1.SeamClientSessionSpec{
				ClientSessionID: "cst1", CredentialSecretRef: v1alpha1.CredentialReference{Name: "seam"},
			},
			Status: v1alpha1.SeamClientSessionStatus{
				ObservedGeneration: 2, SecretName: "jane", ClientSessionID: "cst1", TokenFingerprint: "0123456789ab",
				RequestFingerprint: fingerprint,
				ExpiresAt:          at(24 * time.Hour), ExpiryObservedTime: at(-10 * time.Minute),
				LastFetchTime: at(-10 * time.Minute), LastAttemptTime: at(-10 * time.Minute), NextFetchTime: at(45 * time.Minute),
				Conditions: []metav1.Condition{
					conditionAt(v1alpha1.ConditionSynced, metav1.ConditionTrue, v1alpha1.ReasonFetched, "client session cst1 was fetched from Seam"),
					conditionAt(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonTokenAvailable, "the token can be used"),
				},
			},
		},
		Secret: secret.State{
			Exists: true, Ours: true, Intact: true, DataIntact: true, ForSpec: true, Session: "jane", ClientSessionID: "cst1",
			ExpiresAt: &at(24 * time.Hour).Time,
		},
	}
	for _, change := range changes {
		change(&seen)
	}
	return seen
}

func conditionAt(conditionType string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{
		Type: conditionType, Status: status, Reason: reason, Message: message, ObservedGeneration: 2, LastTransitionTime: *at(-10 * time.Minute),
	}
}

// status changes the status of what is seen.
func status(change func(*v1alpha1.SeamClientSessionStatus)) func(*Observation) {
	return func(seen *Observation) { change(&seen.Session.Status) }
}

// spec changes the spec, and with it the generation.
func spec(change func(*v1alpha1.SeamClientSessionSpec)) func(*Observation) {
	return func(seen *Observation) {
		change(&seen.Session.Spec)
		seen.Session.Generation++
	}
}

// failing is a session whose last attempt failed, so that it is retried in a while.
func failing(reason string) func(*Observation) {
	return status(func(s *v1alpha1.SeamClientSessionStatus) {
		s.FailedFetches, s.LastAttemptTime, s.NextFetchTime = 3, at(-10*time.Second), at(10*time.Second)
		meta.SetStatusCondition(&s.Conditions, conditionAt(v1alpha1.ConditionSynced, metav1.ConditionFalse, reason, "it failed"))
	})
}

// held is a session that waits for a change.
func held(reason string) func(*Observation) {
	return func(seen *Observation) {
		failing(reason)(seen)
		seen.Session.Status.NextFetchTime = nil
	}
}

func noSecret(seen *Observation) { seen.Secret = secret.State{} }
func deletes(seen *Observation) {
	seen.Session.Spec.Secret.RetentionPolicy.WhenSessionEnds = v1alpha1.RetentionDelete
}
func oldSpec(seen *Observation)   { seen.Secret.ForSpec = false }
func scribbled(seen *Observation) { seen.Secret.Intact, seen.Secret.DataIntact = false, false }
func stripped(s *Observation) {
	s.Secret.Intact, s.Secret.DataIntact, s.Secret.ClientSessionID, s.Secret.ExpiresAt = false, false, "", nil
}
func mislabelled(s *Observation) { s.Secret.Intact = false }
func tokenEnded5m(s *Observation) {
	s.Secret.ExpiresAt = &at(-5 * time.Minute).Time
	s.Session.Status.ExpiresAt = at(-5 * time.Minute)
}
func anothersToken(s *Observation) { s.Secret.ClientSessionID = "cst7" }

// good is a good answer.
func good(changes ...func(*seam.ClientSession)) Fetch {
	end := now.Add(48 * time.Hour)
	answer := &seam.ClientSession{ID: "cst1", WorkspaceID: "ws1", Token: "seam_cst1_token", ExpiresAt: &end, Date: now}
	for _, change := range changes {
		change(answer)
	}
	return Fetch{Progress: Answered, Answer: answer, Fingerprint: fingerprint, At: now, SeamTime: answer.Date}
}

func ended(s *seam.ClientSession) { past := time.Unix(0, 0).UTC(); s.ExpiresAt = &past }

// refused is a call that Seam answered with an error.
func refused(kind seam.Kind, fingerprint string) Fetch {
	seen := healthy()
	return Fetch{
		Progress: Failed, Fingerprint: fingerprint, At: now, SeamTime: now,
		Problem: SeamProblem(seen.Session, &seam.Error{Kind: kind, StatusCode: 400, RequestID: "req-1"}, SameRequest(&seen.Session.Status, fingerprint), now),
	}
}
