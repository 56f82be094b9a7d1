package secret

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

const (
	// annotationDigest is where the digest form of a Secret has the hash of its data. No real Secret can have it: ':' is not
	// allowed there.
	annotationDigest = "sha256:"
	// annotationCut is where a digest that was cut has the hash of the metadata that the operator wrote. The API server refuses
	// it, so that nothing that was cut can be written over what others put on a Secret.
	annotationCut = "sha256:metadata"
	// annotationManager is where a digest has the field manager that has changed, since the operator last wrote, what the
	// operator writes. The API server refuses it, too.
	annotationManager = "sha256:manager"

	// maxMetadata is how much memory the metadata that others choose may take in a digest, in bytes; more is cut.
	maxMetadata = 4 << 10
	// sizeOfEntry and sizeOfReference are what one takes beside its text, about.
	sizeOfEntry, sizeOfReference = 64, 128
	// maxText bounds a text that is kept of a digest that was cut, in bytes. What the operator writes there is shorter, but for
	// the keys of the spec, which are not needed then.
	maxText = 256
	// maxReferences is how many owner references to a session are kept then: two are already more than the operator writes.
	maxReferences = 2
)

// managedByLabels are all labels that most Secrets have.
var managedByLabels = map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}

// Digest is a transform for a cache: of the data of a Secret it keeps a hash alone, as WithoutData does, and of its metadata no
// more than maxMetadata bytes: whoever may label a Secret as the operator's decides what else is on it. Where that is more, the
// digest is cut: it still says all that Inspect reads, but not what others have put on the Secret, so that it can't be merged
// with (see Complete). What is not a Secret is returned as it is; a Secret is copied.
func Digest(obj any) (any, error) {
	s, ok := obj.(*corev1.Secret)
	if !ok {
		return obj, nil
	}
	digest := WithoutData(s)
	if metadataSize(digest) > maxMetadata {
		return cut(digest), nil
	}
	return digest, nil
}

// Complete says whether a Secret, full or digest, has all its metadata, so that it may be merged with what is to be written. A
// digest that does not has to be read from the API server first.
func Complete(s *corev1.Secret) bool {
	_, isCut := s.Annotations[annotationCut]
	return !isCut
}

// WithoutData is the digest of a Secret with all its metadata, but for managedFields and the configuration that kubectl last
// applied, which has data in it. So nobody holds a token for longer than it takes to read it. What all Secrets have in common
// they share: two maps less, and no keys of their own, are a third of what each takes.
func WithoutData(s *corev1.Secret) *corev1.Secret {
	digest := *s
	digest.ManagedFields = nil
	if maps.Equal(s.Labels, managedByLabels) {
		digest.Labels = managedByLabels
	}
	digest.Annotations = make(map[string]string, len(s.Annotations)+1)
	for key, value := range s.Annotations {
		if i := slices.Index(ownAnnotations, key); i >= 0 {
			key = ownAnnotations[i]
		}
		digest.Annotations[key] = value
	}
	delete(digest.Annotations, corev1.LastAppliedConfigAnnotation)
	digest.Annotations[annotationDigest] = dataDigest(s)
	if manager := foreignManager(s); manager != "" {
		digest.Annotations[annotationManager] = manager
	}
	digest.Data, digest.StringData = nil, nil
	return &digest
}

// metadataSize is about how much memory takes what others can make large.
func metadataSize(s *corev1.Secret) int {
	size := len(s.Type) + len(s.GenerateName) + len(s.SelfLink) //nolint:staticcheck // deprecated, and yet it could be set
	for _, values := range []map[string]string{s.Labels, s.Annotations} {
		for key, value := range values {
			size += sizeOfEntry + len(key) + len(value)
		}
	}
	for _, ref := range s.OwnerReferences {
		size += sizeOfReference + len(ref.APIVersion) + len(ref.Kind) + len(ref.Name) + len(ref.UID)
	}
	for _, finalizer := range s.Finalizers {
		size += sizeOfEntry + len(finalizer)
	}
	return size
}

// cut is a digest with what Inspect reads, each text of it bounded. A text that is longer is not the operator's; its hash takes its
// place, which is not the operator's either.
func cut(s *corev1.Secret) *corev1.Secret {
	kept := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.Namespace, Name: s.Name, UID: s.UID, ResourceVersion: s.ResourceVersion,
			CreationTimestamp: s.CreationTimestamp, DeletionTimestamp: s.DeletionTimestamp,
			Annotations:     map[string]string{annotationDigest: s.Annotations[annotationDigest], annotationCut: metadataHash(s)},
			OwnerReferences: cutReferences(s),
		},
		Immutable: s.Immutable,
		Type:      corev1.SecretType(limit(string(s.Type))),
	}
	for _, key := range originLabels { // that of the operator is one of them
		if value, ok := s.Labels[key]; ok {
			kept.Labels = overlay(kept.Labels, map[string]string{key: limit(value)})
		}
	}
	for _, key := range slices.Concat(ownAnnotations, originAnnotations, []string{v1alpha1.AnnotationAdoptBy, annotationManager}) {
		if value, ok := s.Annotations[key]; ok {
			kept.Annotations[key] = limit(value)
		}
	}
	return kept
}

// cutReferences are the reference to the controller and those to the session that the Secret names.
func cutReferences(s *corev1.Secret) []metav1.OwnerReference {
	var kept []metav1.OwnerReference
	keep := func(ref metav1.OwnerReference) {
		ref.APIVersion, ref.Kind, ref.Name = limit(ref.APIVersion), limit(ref.Kind), limit(ref.Name)
		if len(ref.UID) > maxText {
			ref.UID = ""
		}
		kept = append(kept, ref)
	}
	controller := metav1.GetControllerOfNoCopy(s)
	if controller != nil {
		keep(*controller)
	}
	for i := range s.OwnerReferences {
		ref := &s.OwnerReferences[i]
		if ref != controller && len(kept) < maxReferences && refersTo(*ref, s.Annotations[v1alpha1.AnnotationSession]) {
			keep(*ref)
		}
	}
	return kept
}

func limit(text string) string {
	if len(text) <= maxText {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return annotationDigest + hex.EncodeToString(sum[:])
}
