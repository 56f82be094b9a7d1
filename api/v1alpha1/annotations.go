package v1alpha1

// Annotations and labels that users and the operator agree on.
const (
	// AnnotationRefreshRequestedAt on a SeamClientSession, set to any new value of at most MaxRefreshRequestLength
	// bytes, asks Seam at once, past the schedule and the object's own back-off.
	AnnotationRefreshRequestedAt = "connect.seam.co/refresh-requested-at"
	// AnnotationAdoptBy on a Secret that the operator did not make is its owner's consent that the SeamClientSession of
	// this name takes it over.
	AnnotationAdoptBy = "connect.seam.co/adopt-by"

	// AnnotationSession on a Secret names the SeamClientSession whose token it holds. It, and not the owner reference,
	// makes the Secret the operator's: so a retained or a restored Secret is taken up again.
	AnnotationSession = "connect.seam.co/session"
	// AnnotationClientSessionID on a Secret is the Seam client session that the token belongs to.
	AnnotationClientSessionID = "connect.seam.co/client-session-id"
	// AnnotationExpiresAt on a Secret is when the token ends, in RFC 3339; absent if Seam gave no end.
	AnnotationExpiresAt = "connect.seam.co/expires-at"
	// AnnotationContentHash on a Secret is a hash of the data that was written: other data under it was edited.
	AnnotationContentHash = "connect.seam.co/content-hash"
	// AnnotationSpecHash on a Secret is a hash of the part of the spec that it was written for.
	AnnotationSpecHash = "connect.seam.co/spec-hash"

	// AnnotationGeneration on an Event is the generation of the SeamClientSession that it is about.
	AnnotationGeneration = "connect.seam.co/generation"

	// LabelManagedBy on a Secret, with the value ManagedBy, is how the operator finds its own Secrets.
	LabelManagedBy = "app.kubernetes.io/managed-by"
	// ManagedBy is the value of LabelManagedBy on every Secret that the operator wrote.
	ManagedBy = "seam-session-operator"
)

// MaxRefreshRequestLength bounds the value of AnnotationRefreshRequestedAt, in bytes. A longer one is ignored.
const MaxRefreshRequestLength = 64

// DefaultCredentialKey is the key of the credential Secret that is read where the spec names none. Seam's SDKs read the
// environment variable of the same name.
const DefaultCredentialKey = "SEAM_API_KEY"
