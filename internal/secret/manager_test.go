package secret

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

func TestForeignManager(t *testing.T) {
	written := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	entry := func(manager string, after time.Duration, fields string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{
			Manager: manager, Time: &metav1.Time{Time: written.Add(after)}, FieldsV1: metav1.NewFieldsV1(fields),
		}
	}
	const data, label, note = `{"f:data":{"f:token":{}}}`, `{"f:metadata":{"f:labels":{"f:team":{}}}}`, `{"f:metadata":{"f:annotations":{"f:note":{}}}}`
	own := entry(v1alpha1.ManagedBy, 0, data)
	for name, test := range map[string]struct {
		entries []metav1.ManagedFieldsEntry
		want    string
	}{
		"nobody":                       {entries: []metav1.ManagedFieldsEntry{own}},
		"none are kept":                {},
		"who set data later":           {[]metav1.ManagedFieldsEntry{own, entry("vault-agent", time.Second, data)}, "vault-agent"},
		"in the same second":           {[]metav1.ManagedFieldsEntry{entry("vault-agent", 0, data), own}, "vault-agent"},
		"the operator's entry is gone": {[]metav1.ManagedFieldsEntry{entry("vault-agent", 0, data)}, "vault-agent"},
		"who created what was adopted": {entries: []metav1.ManagedFieldsEntry{entry("kubectl-create", -time.Hour, data), own}},
		"the last of two":              {[]metav1.ManagedFieldsEntry{own, entry("one", time.Second, data), entry("two", time.Minute, data)}, "two"},
		"who set a label of the spec":  {[]metav1.ManagedFieldsEntry{own, entry("labeller", time.Second, label)}, "labeller"},
		"who set what is not ours":     {entries: []metav1.ManagedFieldsEntry{own, entry("reloader", time.Second, note)}},
		"a name with a token in it":    {entries: []metav1.ManagedFieldsEntry{own, entry("seam_cst1_token", time.Second, data)}},
		"a name in several lines":      {entries: []metav1.ManagedFieldsEntry{own, entry("a\nb", time.Second, data)}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
				ManagedFields: test.entries, Annotations: map[string]string{annotationSpecKeys: "label:team"},
			}}
			digest := WithoutData(s)
			if got := managerOf(digest); got != test.want {
				t.Errorf("digest: %q, want %q", got, test.want)
			}
			if got := managerOf(cut(digest)); got != test.want {
				t.Errorf("cut digest: %q, want %q", got, test.want)
			}
			if _, ok := writtenAnnotations(digest)[annotationManager]; ok {
				t.Error("it would be written")
			}
		})
	}
}
