package secret

import (
	"crypto/hmac"
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
// that what is in the Secret was not written for this spec. It says nothing about when to fetch.
//
// It is keyed with the data of the Secret: a user identifier key is in it, and whoever reads annotations but no data, as
// exporters of metrics do, must not be able to test guesses at that. What is hashed is spelled out here, and not the JSON of
// the spec, so that a release which adds a field does not have every Secret written anew.
func SpecHash(session *v1alpha1.SeamClientSession, written *corev1.Secret) string {
	mac := hmac.New(sha256.New, []byte(dataDigest(written)))
	mac.Write(canonicalSpec(session))
	sum := mac.Sum(nil)
	return hex.EncodeToString(sum[:len(sum)/2])
}

// unkeyedSpecHash is the hash that an earlier release wrote. A Secret that has it is left as it is until it is next written.
func unkeyedSpecHash(session *v1alpha1.SeamClientSession) string {
	c := canonicalSpec(session)
	return c.sum()
}

func canonicalSpec(session *v1alpha1.SeamClientSession) canonical {
	spec := &session.Spec
	c := newCanonical("spec/v1")
	c.add("clientSessionID", spec.ClientSessionID, "userIdentifierKey", spec.UserIdentifierKey)
	if ref := spec.UserIdentifierKeySecretRef; ref != nil {
		c.add("userIdentifierKeySecretRef", ref.Name, ref.Key)
	}
	c.add("workspaceID", spec.WorkspaceID)
	if workspace := session.Workspace(); workspace.Name != "" {
		c.add("workspaceRef", workspace.Namespace, workspace.Name)
	} else {
		c.add("credentialSecretRef", spec.CredentialSecretRef.Name, orDefault(spec.CredentialSecretRef.Key, v1alpha1.DefaultCredentialKey))
	}
	c.add("name", session.SecretName(), "type", string(typeFor(session)))
	c.add("whenDeleted", orDefault(string(spec.Secret.RetentionPolicy.WhenDeleted), string(v1alpha1.RetentionDelete)))
	addMap(&c, "labels", spec.Secret.Labels)
	addMap(&c, "annotations", spec.Secret.Annotations)
	addMap(&c, "template", spec.Secret.Template)
	return c
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
func ContentHash(s *corev1.Secret) string {
	return tokenHash(s, s.Annotations[v1alpha1.AnnotationSession]) + "." + metadataHash(s)
}

// tokenHash is taken as if the Secret named the session: who holds the token does not depend on that annotation.
func tokenHash(s *corev1.Secret, session string) string {
	c := newCanonical("token/v1")
	c.add(dataDigest(s))
	addPresent(&c, map[string]string{v1alpha1.AnnotationSession: session}, v1alpha1.AnnotationSession)
	addPresent(&c, s.Annotations, v1alpha1.AnnotationClientSessionID, v1alpha1.AnnotationExpiresAt)
	return c.sum()
}

func metadataHash(s *corev1.Secret) string {
	if hash, ok := s.Annotations[annotationCut]; ok {
		return hash
	}
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
