package secret

import (
	"bytes"
	"regexp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

// shownManager is what the name of a field manager may look like to be shown: whoever writes a Secret chooses its own.
var shownManager = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 ._:/@()-]{0,127}$`)

// ownFields are, as managed fields spell them, what the operator writes on every Secret.
var ownFields = []string{`"f:data"`, `"f:type"`, `"f:immutable"`, `"f:` + v1alpha1.LabelManagedBy + `"`, `"f:connect.seam.co/`}

// managerOf is the field manager that has changed a Secret, full or digest, since the operator last wrote it.
func managerOf(s *corev1.Secret) string {
	if manager, ok := s.Annotations[annotationManager]; ok {
		return manager
	}
	return foreignManager(s)
}

// foreignManager reads the same from the managed fields: the last one but the operator that has set anything of what the
// operator writes, and not before the operator did. Once the Secret is corrected it is gone from there. Who only removed
// something is not there either: then it is empty, rather than the name of somebody who set something else.
func foreignManager(s *corev1.Secret) string {
	var written, latest time.Time
	for _, entry := range s.ManagedFields {
		if entry.Manager == v1alpha1.ManagedBy && entry.Time != nil && entry.Time.After(written) {
			written = entry.Time.Time
		}
	}
	manager := ""
	for _, entry := range s.ManagedFields {
		if entry.Manager == v1alpha1.ManagedBy || entry.Time == nil || entry.FieldsV1 == nil {
			continue
		}
		// In the same second as the operator it may have been after it.
		if at := entry.Time.Time; !at.Before(written) && !at.Before(latest) && setsOurs(s, entry.FieldsV1.GetRawBytes()) {
			manager, latest = entry.Manager, at
		}
	}
	if !shownManager.MatchString(manager) || strings.Contains(strings.ToLower(manager), "seam_") {
		return ""
	}
	return manager
}

// setsOurs says whether managed fields hold anything that the operator writes.
func setsOurs(s *corev1.Secret, fields []byte) bool {
	for _, field := range ownFields {
		if bytes.Contains(fields, []byte(field)) {
			return true
		}
	}
	labels, annotations := writtenSpecKeys(s)
	for _, key := range append(labels, annotations...) {
		if bytes.Contains(fields, []byte(`"f:`+key+`"`)) {
			return true
		}
	}
	return false
}
