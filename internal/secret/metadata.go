package secret

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

const (
	kind = "SeamClientSession"

	// annotationSpecKeys names the labels and annotations that the spec asked for when the Secret was written, so that
	// they can be told from those of others once the spec no longer does. It is absent if the spec asks for none.
	// The API's bounds on the spec bound it: to 64 keys of 317 bytes.
	annotationSpecKeys = "connect.seam.co/spec-keys"
	labelPrefix        = "label:"
	annotationPrefix   = "annotation:"
)

var (
	// ownAnnotations are those that only the operator sets.
	ownAnnotations = []string{
		v1alpha1.AnnotationSession, v1alpha1.AnnotationClientSessionID, v1alpha1.AnnotationExpiresAt,
		v1alpha1.AnnotationContentHash, v1alpha1.AnnotationSpecHash, annotationSpecKeys,
	}
	// unwritten are annotations that are not to be on the Secret, or are only in its digest form.
	unwritten = []string{corev1.LastAppliedConfigAnnotation, annotationDigest, annotationManager}
)

func typeFor(session *v1alpha1.SeamClientSession) corev1.SecretType {
	if session.Spec.Secret.Type == "" {
		return corev1.SecretTypeOpaque
	}
	return corev1.SecretType(session.Spec.Secret.Type)
}

// labelsFor are the labels of the spec and of the operator.
func labelsFor(session *v1alpha1.SeamClientSession) map[string]string {
	labels := map[string]string{}
	for key, value := range session.Spec.Secret.Labels {
		labels[key] = string(value)
	}
	labels[v1alpha1.LabelManagedBy] = v1alpha1.ManagedBy
	return labels
}

// annotationsFor are the annotations of the spec, and those of the operator that do not depend on the answer.
func annotationsFor(session *v1alpha1.SeamClientSession) map[string]string {
	annotations := map[string]string{}
	for key, value := range session.Spec.Secret.Annotations {
		annotations[key] = string(value)
	}
	annotations[v1alpha1.AnnotationSession] = session.Name
	if keys := specKeys(session); keys != "" {
		annotations[annotationSpecKeys] = keys
	}
	return annotations
}

// specKeys is the value of annotationSpecKeys. There are no spaces in keys.
func specKeys(session *v1alpha1.SeamClientSession) string {
	var keys []string
	for key := range session.Spec.Secret.Labels {
		keys = append(keys, labelPrefix+key)
	}
	for key := range session.Spec.Secret.Annotations {
		keys = append(keys, annotationPrefix+key)
	}
	slices.Sort(keys)
	return strings.Join(keys, " ")
}

// writtenSpecKeys are the labels and annotations that a spec had asked for when the Secret was written.
func writtenSpecKeys(s *corev1.Secret) (labels, annotations []string) {
	for key := range strings.FieldsSeq(s.Annotations[annotationSpecKeys]) {
		if label, ok := strings.CutPrefix(key, labelPrefix); ok {
			labels = append(labels, label)
		} else if annotation, ok := strings.CutPrefix(key, annotationPrefix); ok {
			annotations = append(annotations, annotation)
		}
	}
	return labels, annotations
}

// ownerReferencesFor is the controller reference that has Kubernetes delete the Secret with the session; none if it is
// to be retained. It does not block a deletion of the session in the foreground.
func ownerReferencesFor(session *v1alpha1.SeamClientSession) []metav1.OwnerReference {
	if session.Spec.Secret.RetentionPolicy.WhenDeleted == v1alpha1.RetentionRetain {
		return nil
	}
	isController, block := true, false
	return []metav1.OwnerReference{{
		APIVersion:         v1alpha1.GroupVersion.String(),
		Kind:               kind,
		Name:               session.Name,
		UID:                session.UID,
		Controller:         &isController,
		BlockOwnerDeletion: &block,
	}}
}

// refersTo says whether a reference is to the session of that name, be it an earlier one: after a restore or a
// re-creation the name is the same and the UID is not.
func refersTo(ref metav1.OwnerReference, session string) bool {
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	return err == nil && gv.Group == v1alpha1.GroupVersion.Group && ref.Kind == kind && ref.Name == session
}

// Merge returns what to send to the API server as an update of current, full or digest, so that it becomes as desired:
// labels, annotations and owner references of others are kept, those of an earlier spec are dropped, and the data is
// that of desired alone. The resourceVersion and the UID are those of current, so that an update of anything else fails.
//
// The annotation kubectl.kubernetes.io/last-applied-configuration goes: it holds a copy of data that is no more.
func Merge(current, desired *corev1.Secret) *corev1.Secret {
	merged := &corev1.Secret{
		TypeMeta:   current.TypeMeta,
		ObjectMeta: *current.ObjectMeta.DeepCopy(),
		Immutable:  desired.Immutable,
		Type:       desired.Type,
		Data:       make(map[string][]byte, len(desired.Data)),
	}
	for key, value := range desired.Data {
		merged.Data[key] = slices.Clone(value)
	}
	labels, annotations := writtenSpecKeys(current)
	remove(merged.Labels, labels)
	remove(merged.Annotations, annotations)
	remove(merged.Annotations, ownAnnotations)
	remove(merged.Annotations, unwritten)
	merged.Labels = overlay(merged.Labels, desired.Labels)
	merged.Annotations = overlay(merged.Annotations, desired.Annotations)
	session := desired.Annotations[v1alpha1.AnnotationSession]
	merged.OwnerReferences = slices.DeleteFunc(merged.OwnerReferences, func(ref metav1.OwnerReference) bool {
		return refersTo(ref, session)
	})
	merged.OwnerReferences = append(merged.OwnerReferences, desired.OwnerReferences...)
	return merged
}

// Placeholder is a Secret like the one that a session asks for, without anything of Seam's in it: to try whether the API
// server would take it.
func Placeholder(session *v1alpha1.SeamClientSession) *corev1.Secret {
	placeholder := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: session.SecretName(), Namespace: session.Namespace, Labels: labelsFor(session),
			Annotations: annotationsFor(session), OwnerReferences: ownerReferencesFor(session),
		},
		Type: typeFor(session),
		Data: map[string][]byte{},
	}
	keys := defaultKeys
	if len(session.Spec.Secret.Template) > 0 {
		keys = slices.Collect(maps.Keys(session.Spec.Secret.Template))
	}
	for _, key := range keys {
		placeholder.Data[key] = []byte("-")
	}
	return placeholder
}

// Restore returns current, without its data, and what it becomes when its labels, annotations and owner references are as
// they were written for the session: what to send to the API server as a patch. The token in it must be intact.
func Restore(current *corev1.Secret, session *v1alpha1.SeamClientSession) (before, restored *corev1.Secret) {
	desired := &corev1.Secret{Type: current.Type}
	desired.Labels, desired.Annotations, desired.OwnerReferences = labelsFor(session), annotationsFor(session), ownerReferencesFor(session)
	for _, said := range []string{v1alpha1.AnnotationClientSessionID, v1alpha1.AnnotationExpiresAt} {
		if value, ok := current.Annotations[said]; ok {
			desired.Annotations[said] = value
		}
	}
	desired.Annotations[annotationDigest] = dataDigest(current)
	desired.Annotations[v1alpha1.AnnotationSpecHash] = SpecHash(session, current)
	desired.Annotations[v1alpha1.AnnotationContentHash] = ContentHash(desired)
	delete(desired.Annotations, annotationDigest)

	before = &corev1.Secret{TypeMeta: current.TypeMeta, ObjectMeta: *current.ObjectMeta.DeepCopy(), Type: current.Type, Immutable: current.Immutable}
	remove(before.Annotations, unwritten)
	restored = Merge(before, desired)
	restored.Data, restored.Immutable = nil, current.Immutable
	return before, restored
}

func remove(from map[string]string, keys []string) {
	for _, key := range keys {
		delete(from, key)
	}
}

func overlay(base, over map[string]string) map[string]string {
	if base == nil {
		return maps.Clone(over)
	}
	maps.Copy(base, over)
	return base
}

// Matches says whether current, full or digest, is as desired for the session, so that there is nothing to write.
func Matches(current, desired *corev1.Secret, session *v1alpha1.SeamClientSession) bool {
	merged := Merge(current, desired)
	if state := Inspect(current, session); state.Intact && state.ForSpec { // be it in the form of the release before
		for _, hash := range []string{v1alpha1.AnnotationSpecHash, v1alpha1.AnnotationContentHash} {
			merged.Annotations[hash] = current.Annotations[hash]
		}
	}
	return current.Type == merged.Type && !isImmutable(current) &&
		dataDigest(current) == dataDigest(desired) &&
		maps.Equal(writtenAnnotations(current), merged.Annotations) &&
		maps.Equal(current.Labels, merged.Labels) &&
		sameOwnerReferences(current.OwnerReferences, merged.OwnerReferences)
}

func isImmutable(s *corev1.Secret) bool { return s.Immutable != nil && *s.Immutable }

func writtenAnnotations(s *corev1.Secret) map[string]string {
	annotations := maps.Clone(s.Annotations)
	remove(annotations, unwritten)
	return annotations
}

// sameOwnerReferences compares without regard to order.
func sameOwnerReferences(a, b []metav1.OwnerReference) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(ref metav1.OwnerReference) bool {
		return !slices.ContainsFunc(b, func(other metav1.OwnerReference) bool { return sameOwnerReference(ref, other) })
	})
}

func sameOwnerReference(a, b metav1.OwnerReference) bool {
	return a.APIVersion == b.APIVersion && a.Kind == b.Kind && a.Name == b.Name && a.UID == b.UID &&
		isTrue(a.Controller) == isTrue(b.Controller) && isTrue(a.BlockOwnerDeletion) == isTrue(b.BlockOwnerDeletion)
}

func isTrue(b *bool) bool { return b != nil && *b }
