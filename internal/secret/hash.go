package secret

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

// annotationDigest is where the digest form of a Secret has the hash of its data. No real Secret can have it: ':' is not
// allowed there.
const annotationDigest = "sha256:"

// canonical are strings, each after its length, so that no two lists of strings are the same bytes.
type canonical []byte

func newCanonical(version string) canonical {
	c := make(canonical, 0, 512) // most are shorter
	c.add(version)
	return c
}

func (c *canonical) add(values ...string) {
	for _, value := range values {
		*c = append(binary.BigEndian.AppendUint64(*c, uint64(len(value))), value...)
	}
}

func (c *canonical) addBytes(value []byte) {
	*c = append(binary.BigEndian.AppendUint64(*c, uint64(len(value))), value...)
}

// sum is the first half of the hash in hexadecimal digits: enough to tell apart whatever is not made to collide.
func (c *canonical) sum() string {
	sum := sha256.Sum256(*c)
	return hex.EncodeToString(sum[:len(sum)/2])
}

// SpecHash is a hash of the part of the spec that says what is asked of Seam and what is written: another hash means
// that what is in the Secret was not written for this spec. It says nothing about when to ask.
//
// What is hashed is spelled out here, and not the JSON of the spec, so that a release which adds a field does not have
// every Secret written anew. A user identifier key is hashed together with all the rest; who can read the hash can read
// the Secret.
func SpecHash(session *v1alpha1.SeamClientSession) string {
	spec := &session.Spec
	c := newCanonical("spec/v1")
	c.add("clientSessionID", spec.ClientSessionID, "userIdentifierKey", spec.UserIdentifierKey)
	if ref := spec.UserIdentifierKeySecretRef; ref != nil {
		c.add("userIdentifierKeySecretRef", ref.Name, ref.Key)
	}
	c.add("workspaceID", spec.WorkspaceID)
	c.add("credentialSecretRef", spec.CredentialSecretRef.Name, orDefault(spec.CredentialSecretRef.Key, v1alpha1.DefaultCredentialKey))
	c.add("name", session.SecretName(), "type", string(typeFor(session)))
	c.add("whenDeleted", orDefault(string(spec.Secret.RetentionPolicy.WhenDeleted), string(v1alpha1.RetentionDelete)))
	addMap(&c, "labels", spec.Secret.Labels)
	addMap(&c, "annotations", spec.Secret.Annotations)
	addMap(&c, "template", spec.Secret.Template)
	return c.sum()
}

func addMap[V ~string](c *canonical, name string, values map[string]V) {
	c.add(name)
	for _, key := range slices.Sorted(maps.Keys(values)) {
		c.add(key, string(values[key]))
	}
}

func orDefault(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// ContentHash is a hash of all that the operator writes on a Secret, full or digest. It has two parts, with a dot between
// them: that of the data, and of what the annotations say of the token in it; and that of everything else, which is type,
// labels, annotations and owner reference. So a token that stands is still believed where a label was stripped. What
// others have put on the Secret is in neither. It is not salted: who can read it can read the Secret, and it is taken
// over all data, the token included wherever the Secret holds it.
func ContentHash(s *corev1.Secret) string { return tokenHash(s) + "." + metadataHash(s) }

func tokenHash(s *corev1.Secret) string {
	c := newCanonical("token/v1")
	c.add(dataDigest(s))
	addPresent(&c, s.Annotations, tokenAnnotations...)
	return c.sum()
}

func metadataHash(s *corev1.Secret) string {
	c := newCanonical("metadata/v1")
	c.add(string(s.Type))
	labels, annotations := writtenSpecKeys(s)
	addPresent(&c, s.Labels, append(labels, v1alpha1.LabelManagedBy)...)
	addPresent(&c, s.Annotations, append(annotations, v1alpha1.AnnotationSpecHash, annotationSpecKeys)...)
	for _, ref := range s.OwnerReferences {
		if refersTo(ref, s.Annotations[v1alpha1.AnnotationSession]) {
			c.add(ref.APIVersion, string(ref.UID), fmt.Sprint(isTrue(ref.Controller), isTrue(ref.BlockOwnerDeletion)))
		}
	}
	return c.sum()
}

// addPresent adds each key, and its value if there is one.
func addPresent(c *canonical, values map[string]string, keys ...string) {
	for _, key := range keys {
		value, ok := values[key]
		c.add(key, strconv.FormatBool(ok), value)
	}
}

// dataDigest is a hash of the data alone, or what the digest form holds of it.
func dataDigest(s *corev1.Secret) string {
	if digest, ok := s.Annotations[annotationDigest]; ok {
		return digest
	}
	c := newCanonical("data/v1")
	for _, key := range slices.Sorted(maps.Keys(s.Data)) {
		c.add(key)
		c.addBytes(s.Data[key])
	}
	return c.sum()
}

// managedByLabels are all labels that most Secrets have.
var managedByLabels = map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}

// Digest is a transform for a cache: of the data of a Secret it keeps a hash alone, and it drops managedFields and the
// configuration that kubectl last applied, which has data in it. So a cache of Secrets holds no tokens, and stays small
// whatever somebody labels as the operator's. What all Secrets have in common they share: two maps less, and no keys of their
// own, are a third of what each takes. What is not a Secret is returned as it is; a Secret is copied.
func Digest(obj any) (any, error) {
	s, ok := obj.(*corev1.Secret)
	if !ok {
		return obj, nil
	}
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
	digest.Data, digest.StringData = nil, nil
	return &digest, nil
}
