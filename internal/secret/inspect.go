package secret

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

// State is what the Secret that is there says of itself, as seen by a session.
type State struct {
	// Exists says whether there is a Secret at all. Without it all else is zero.
	Exists bool
	// Ours: it was written for this session, or one of the same name, by its own word, and no other controller has taken it.
	// Where that word was stripped or edited, an owner reference to this very session does.
	Ours bool
	// Intact: all that the operator writes (data, type, labels, annotations, owner reference) is as it was written, whatever
	// the spec was then, the owner reference is to this very session, and nobody has made it immutable.
	Intact bool
	// DataIntact: the data, and what the annotations say of the token in it, are as they were written. It is part of Intact,
	// and all that it takes to believe ClientSessionID and ExpiresAt.
	DataIntact bool
	// Fingerprint tells what DataIntact is about from what else was ever written; empty without DataIntact.
	Fingerprint string
	// ForSpec: it was written for what the spec asks now. Intact and ForSpec together: it is as it must be.
	ForSpec bool
	// Adoptable: its owner has consented that this session takes it, and nothing stands against that.
	Adoptable bool
	// Immutable: Kubernetes lets nobody change it.
	Immutable bool
	// TypeDiffers: it is of another type than the spec asks, and Kubernetes lets nobody change that.
	TypeDiffers bool

	// Session is the session that it was written for by its own word; empty if by none. Anybody can have written it.
	Session string
	// Controller is the kind and the name of the object that controls it, if that is not this session.
	Controller string
	// Origin says whose it seems to be, if it is not Ours: labels, annotations and the field manager that tell of it.
	Origin string
	// Manager is the field manager that has changed, since the operator last wrote, what the operator writes; empty where the
	// managed fields name none, as after a mere removal.
	Manager string
	// ClientSessionID is the Seam client session that its token belongs to. Believe it only with DataIntact.
	ClientSessionID string
	// ExpiresAt is when its token ends, in whole seconds; nil for never. Believe it only with DataIntact.
	ExpiresAt *time.Time
}

// Inspect reads what current, full or digest, says of itself; nil means that there is none.
func Inspect(current *corev1.Secret, session *v1alpha1.SeamClientSession) State {
	if current == nil {
		return State{}
	}
	state := State{
		Exists:          true,
		ForSpec:         isForSpec(current, session),
		Immutable:       isImmutable(current),
		TypeDiffers:     current.Type != typeFor(session),
		Session:         current.Annotations[v1alpha1.AnnotationSession],
		ClientSessionID: current.Annotations[v1alpha1.AnnotationClientSessionID],
		Manager:         managerOf(current),
	}
	controller := metav1.GetControllerOfNoCopy(current)
	if controller != nil && !refersTo(*controller, session.Name) {
		state.Controller = controller.Kind + " " + controller.Name
	}
	if t, err := time.Parse(time.RFC3339, current.Annotations[v1alpha1.AnnotationExpiresAt]); err == nil {
		state.ExpiresAt = &t
	}
	owned := controller != nil && controller.UID == session.UID
	state.Ours = owned || state.Session == session.Name && state.Controller == ""
	if !state.Ours {
		state.Origin = origin(current)
	}
	state.Adoptable = current.Annotations[v1alpha1.AnnotationAdoptBy] == session.Name &&
		controller == nil && !state.TypeDiffers && !state.Immutable
	token, metadata, _ := strings.Cut(current.Annotations[v1alpha1.AnnotationContentHash], ".")
	if state.DataIntact = token == tokenHash(current, session.Name); state.DataIntact {
		state.Fingerprint = token
	}
	state.Intact = state.DataIntact && metadata == metadataHash(current) && unalteredOtherwise(current, session)
	return state
}

// isForSpec says whether the Secret was written for what the spec asks, by its own word or that of the release before.
func isForSpec(current *corev1.Secret, session *v1alpha1.SeamClientSession) bool {
	hash := current.Annotations[v1alpha1.AnnotationSpecHash]
	return hash == SpecHash(session, current) || hash == unkeyedSpecHash(session)
}

// unalteredOtherwise says of what is in no hash that nobody has made the Secret immutable, that it names this session,
// and that the owner reference, if there is one, is to this session and not to an earlier one
// of its name.
func unalteredOtherwise(current *corev1.Secret, session *v1alpha1.SeamClientSession) bool {
	return !isImmutable(current) && current.Annotations[v1alpha1.AnnotationSession] == session.Name &&
		!slices.ContainsFunc(current.OwnerReferences, func(ref metav1.OwnerReference) bool {
			return refersTo(ref, session.Name) && ref.UID != session.UID
		})
}

// Sessions are the names of the sessions that a Secret may be of: the one that it names, and the one that controls it, which
// are the same unless somebody edited it.
func Sessions(s metav1.Object) []string {
	var names []string
	if name := s.GetAnnotations()[v1alpha1.AnnotationSession]; name != "" {
		names = append(names, name)
	}
	if controller := metav1.GetControllerOfNoCopy(s); controller != nil && refersTo(*controller, controller.Name) && !slices.Contains(names, controller.Name) {
		names = append(names, controller.Name)
	}
	return names
}
