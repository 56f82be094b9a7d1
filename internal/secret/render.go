package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
)

const (
	// maxTemplateSize bounds a template, in bytes. The CRD allows 8192 characters, of up to four bytes each.
	maxTemplateSize = 4 * 8192
	// maxValueSize bounds what one template renders, and every value on the way there, in bytes. A token has some dozens.
	maxValueSize = 64 << 10
	// maxDataSize bounds all values of the Secret together, in bytes: what Kubernetes allows, less some room.
	maxDataSize = corev1.MaxSecretSize - 64<<10
)

// Names of the fields that a template can use, as they are called in Seam's API.
const (
	fieldToken             = "token"
	fieldClientSessionID   = "client_session_id"
	fieldWorkspaceID       = "workspace_id"
	fieldExpiresAt         = "expires_at"
	fieldUserIdentifierKey = "user_identifier_key"
	fieldUserIdentityID    = "user_identity_id"
	fieldCustomerKey       = "customer_key"
	fieldDeviceCount       = "device_count"
	fieldCreatedAt         = "created_at"
)

var (
	// defaultKeys are the keys of a Secret without templates, each with the field of that name.
	defaultKeys = []string{fieldToken, fieldClientSessionID, fieldWorkspaceID, fieldExpiresAt}
	fieldNames  = append(slices.Clone(defaultKeys),
		fieldUserIdentifierKey, fieldUserIdentityID, fieldCustomerKey, fieldDeviceCount, fieldCreatedAt)
	allowedFields = "." + strings.Join(fieldNames, ", .")
)

// Render returns the Secret that a session asks for, with what Seam answered in it: complete, but for what the API
// server adds. The error is a *TemplateError and holds nothing of the answer.
func Render(session *v1alpha1.SeamClientSession, answer *seam.ClientSession) (*corev1.Secret, error) {
	data, err := renderData(session.Spec.Secret.Template, fieldsOf(answer))
	if err != nil {
		return nil, err
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name:            session.SecretName(),
			Namespace:       session.Namespace,
			Labels:          labelsFor(session),
			Annotations:     annotationsFor(session),
			OwnerReferences: ownerReferencesFor(session),
		},
		Type: typeFor(session),
		Data: data,
	}
	secret.Annotations[v1alpha1.AnnotationClientSessionID] = answer.ID
	if answer.ExpiresAt != nil {
		secret.Annotations[v1alpha1.AnnotationExpiresAt] = answer.ExpiresAt.UTC().Format(time.RFC3339)
	}
	secret.Annotations[v1alpha1.AnnotationSpecHash] = SpecHash(session, secret)
	secret.Annotations[v1alpha1.AnnotationContentHash] = ContentHash(secret)
	return secret, nil
}

// renderData renders templates, or the default keys where there are none.
func renderData(templates map[string]v1alpha1.Template, fields map[string]any) (map[string][]byte, error) {
	data := map[string][]byte{}
	if len(templates) == 0 {
		for _, key := range defaultKeys {
			if fields[key] == (absent("")) {
				continue
			}
			data[key] = []byte(text(fields[key]))
			if len(data[key]) > maxValueSize {
				return nil, &TemplateError{key, tooLarge}
			}
		}
		return data, nil
	}
	total := 0
	for _, key := range slices.Sorted(maps.Keys(templates)) {
		value, err := renderValue(key, string(templates[key]), fields)
		if err != nil {
			return nil, err
		}
		if total += len(value); total > maxDataSize {
			return nil, &TemplateError{Problem: fmt.Sprintf(
				"the templates render to more than the %d bytes that fit in one Secret: use fewer or smaller ones", maxDataSize)}
		}
		data[key] = value
	}
	return data, nil
}

// renderValue compiles and renders one template. Its error shows none of the values.
func renderValue(key, source string, fields map[string]any) ([]byte, error) {
	tree, err := compile(key, source)
	if err != nil {
		return nil, err
	}
	e := evaluation{fields: fields}
	switch err := e.node(tree.Root, nil); {
	case errors.Is(err, errTooLarge):
		return nil, &TemplateError{key, tooLarge}
	case err != nil:
		return nil, &TemplateError{key, "can't be rendered: " + allowedSyntax}
	}
	return e.out.Bytes(), nil
}

var (
	tooLarge    = fmt.Sprintf("renders, or has in it, a value of more than %d bytes: make it smaller", maxValueSize)
	errTooLarge = errors.New(tooLarge)
)

// bounded takes up to maxValueSize bytes.
type bounded struct{ bytes.Buffer }

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxValueSize {
		return 0, errTooLarge
	}
	return b.Buffer.Write(p)
}

// absent stands for an optional field that Seam did not give. It is false, renders as nothing, and is null in JSON.
type absent string

// fieldsOf are the values that templates see: strings, an int32, and absent.
func fieldsOf(answer *seam.ClientSession) map[string]any {
	fields := map[string]any{
		fieldToken:             answer.Token,
		fieldClientSessionID:   answer.ID,
		fieldWorkspaceID:       answer.WorkspaceID,
		fieldExpiresAt:         timeField(answer.ExpiresAt),
		fieldUserIdentifierKey: optional(answer.UserIdentifierKey),
		fieldUserIdentityID:    optional(answer.UserIdentityID),
		fieldCustomerKey:       optional(answer.CustomerKey),
		fieldDeviceCount:       absent(""),
		fieldCreatedAt:         timeField(answer.CreatedAt),
	}
	if answer.DeviceCount != nil {
		fields[fieldDeviceCount] = *answer.DeviceCount
	}
	return fields
}

func optional(s string) any {
	if s == "" {
		return absent("")
	}
	return s
}

// timeField is RFC 3339 in UTC, with the fraction of a second that Seam gave, if any.
func timeField(t *time.Time) any {
	if t == nil {
		return absent("")
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// toJSON renders a value as JSON, with <, > and & as they are.
func toJSON(value any) (string, error) {
	if _, ok := value.(absent); ok {
		return "null", nil
	}
	if len(text(value)) > maxValueSize {
		return "", errTooLarge
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return "", err
	}
	return strings.TrimSuffix(out.String(), "\n"), nil
}

// b64enc renders a value in base64, with padding.
func b64enc(value any) (string, error) {
	s := text(value)
	if len(s) > maxValueSize {
		return "", errTooLarge
	}
	return base64.StdEncoding.EncodeToString([]byte(s)), nil
}

// eq says whether the first value equals any of the others. It is text/template's where that has an answer. Where types
// differ, as those of a device_count that is there and one that is absent do, text/template fails; here values are equal if
// they render alike, so that no template fails for one session and not for another.
func eq(first any, others ...any) bool {
	return slices.ContainsFunc(others, func(other any) bool { return equal(first, other) })
}

func equal(a, b any) bool {
	x, aFraction := a.(float64)
	y, bFraction := b.(float64)
	if aFraction && bFraction {
		return x == y // 0 and -0 render differently
	}
	return text(a) == text(b)
}

// text is a value as it renders.
func text(value any) string {
	switch value := value.(type) {
	case string:
		return value
	case absent:
		return ""
	}
	return fmt.Sprint(value)
}
