package secret

import (
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

// loads are what somebody who may write Secrets can put on one, up to what the API server takes.
var loads = map[string]func(*corev1.Secret){
	"one annotation of 250 KiB": func(s *corev1.Secret) { s.Annotations["example.org/large"] = strings.Repeat("x", 250<<10) },
	"5,000 annotations":         func(s *corev1.Secret) { maps.Copy(s.Annotations, many(5_000)) },
	"5,000 labels":              func(s *corev1.Secret) { maps.Copy(s.Labels, many(5_000)) },
	"1,000 owners": func(s *corev1.Secret) {
		for i := range 1000 {
			ref := foreignOwner(false)
			ref.UID = types.UID(fmt.Sprint(i))
			s.OwnerReferences = append(s.OwnerReferences, ref)
		}
	},
	"1,000 finalizers": func(s *corev1.Secret) {
		for i := range 1000 {
			s.Finalizers = append(s.Finalizers, fmt.Sprintf("example.org/hold-%d", i))
		}
	},
	"a generated name": func(s *corev1.Secret) { s.GenerateName = strings.Repeat("x", 250<<10) },
}

// forgeries are loads in what the operator itself writes and reads.
var forgeries = map[string]func(*corev1.Secret){
	"the operator's annotations": func(s *corev1.Secret) {
		for _, key := range append(ownAnnotations, v1alpha1.AnnotationAdoptBy) {
			s.Annotations[key] = strings.Repeat("x", 30<<10)
		}
	},
	"1,000 references to the session": func(s *corev1.Secret) {
		for i := range 1000 {
			ref := s.OwnerReferences[0]
			ref.UID, ref.Controller = types.UID(fmt.Sprint(i)), nil
			s.OwnerReferences = append(s.OwnerReferences, ref)
		}
	},
	"a controller with long names": func(s *corev1.Secret) {
		ref := foreignOwner(true)
		ref.APIVersion, ref.Kind, ref.Name, ref.UID = long("a/"), long("k"), long("n"), types.UID(long("u"))
		s.OwnerReferences = []metav1.OwnerReference{ref}
	},
	"a long type": func(s *corev1.Secret) { s.Type = corev1.SecretType(long("t")) },
}

func many(n int) map[string]string {
	values := map[string]string{}
	for i := range n {
		values[fmt.Sprint("example.org/", i)] = ""
	}
	return values
}

func long(prefix string) string { return prefix + strings.Repeat("x", 100<<10) }

// TestADigestIsSmallWhateverIsOnTheSecret measures what fifty of them take.
func TestADigestIsSmallWhateverIsOnTheSecret(t *testing.T) {
	all := map[string]func(*corev1.Secret){
		"nothing":               func(*corev1.Secret) {},
		"as much as is not cut": func(s *corev1.Secret) { maps.Copy(s.Annotations, many(30)) },
	}
	maps.Copy(all, loads)
	maps.Copy(all, forgeries)
	for name, load := range all {
		t.Run(name, func(t *testing.T) {
			const count, most = 50, 8 << 10
			digests := make([]*corev1.Secret, count)
			before := heap()
			for i := range digests {
				secret := written(t, newSession())
				load(secret)
				digests[i] = digested(t, secret)
			}
			if each := (heap() - before) / count; each > most {
				t.Errorf("takes %d bytes, want at most %d", each, most)
			}
			runtime.KeepAlive(digests)
		})
	}
}

func heap() int {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int(stats.HeapAlloc)
}

// TestADigestThatWasCutSaysTheSame: what Inspect reads does not depend on what others put on the Secret.
func TestADigestThatWasCutSaysTheSame(t *testing.T) {
	session := newSession(withMetadata)
	edits := append(damages[:len(damages):len(damages)], damages[0])
	edits[len(damages)].does, edits[len(damages)].edit = "does nothing", func(*corev1.Secret) {}
	for _, damage := range edits {
		for name, load := range loads {
			secret := written(t, session)
			damage.edit(secret)
			if secret.Annotations == nil {
				secret.Annotations = map[string]string{}
			}
			if secret.Labels == nil {
				secret.Labels = map[string]string{}
			}
			load(secret)
			digest := digested(t, secret)
			if Complete(digest) || !Complete(secret) || !Complete(WithoutData(secret)) {
				t.Fatalf("%s: the digest is complete, or the Secret is not", name)
			}
			if got, want := Inspect(digest, session), Inspect(secret, session); !reflect.DeepEqual(got, want) {
				t.Errorf("who %s, with %s: the digest says %+v, the Secret %+v", damage.does, name, got, want)
			}
			if again := digested(t, digest); !reflect.DeepEqual(again, digest) {
				t.Errorf("%s: a digest of the digest differs", name)
			}
		}
	}
}

// TestForgeriesAreSeen: what is too long to be the operator's is taken neither for its own nor for another's.
func TestForgeriesAreSeen(t *testing.T) {
	for name, forge := range forgeries {
		secret := written(t, newSession())
		forge(secret)
		full, digest := Inspect(secret, newSession()), Inspect(digested(t, secret), newSession())
		if digest.Intact || digest.DataIntact != full.DataIntact || digest.Ours != full.Ours || digest.ForSpec != full.ForSpec ||
			digest.Adoptable != full.Adoptable || digest.TypeDiffers != full.TypeDiffers || (digest.Controller == "") != (full.Controller == "") {
			t.Errorf("%s: the digest says %+v", name, digest)
		}
	}
}

// TestWhatOthersPutOnASecretIsNeverLost: what was cut can't be written, and what was read without data has it all.
func TestWhatOthersPutOnASecretIsNeverLost(t *testing.T) {
	session := newSession(withMetadata)
	desired := mustRender(t, session)
	for name, load := range loads {
		secret := written(t, session)
		load(secret)
		merged := Merge(digested(t, secret), desired)
		if errs := apivalidation.ValidateAnnotations(merged.Annotations, field.NewPath("metadata")); len(errs) == 0 {
			t.Errorf("%s: the API server would take a Secret without it", name)
		}
		whole := Merge(WithoutData(secret), desired)
		if !maps.Equal(whole.Labels, secret.Labels) || !maps.Equal(whole.Annotations, secret.Annotations) ||
			!sameOwnerReferences(whole.OwnerReferences, secret.OwnerReferences) || len(whole.Finalizers) != len(secret.Finalizers) {
			t.Errorf("%s: something is lost", name)
		}
	}
}
