package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// SeamClientSession names a Seam client session whose token is kept in a Secret of the same namespace.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=seamclientsessions,singular=seamclientsession,shortName=scs,categories=seam,scope=Namespaced
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="Whether a usable token is in the Secret"
// +kubebuilder:printcolumn:name="Secret",type=string,JSONPath=`.status.secretName`,description="The Secret that holds the token"
// +kubebuilder:printcolumn:name="Expires",type=string,JSONPath=`.status.expiresAt`,description="When the token ends"
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.reason`,description="Why it is as it is: what Ready, Synced or Expiring says"
// +kubebuilder:printcolumn:name="Synced",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Synced")].status`,description="Whether the last attempt worked"
// +kubebuilder:printcolumn:name="Session",type=string,priority=1,JSONPath=`.status.clientSessionID`,description="The Seam client session"
// +kubebuilder:printcolumn:name="Fetched",type=date,priority=1,JSONPath=`.status.lastFetchTime`,description="How long ago Seam gave a good answer"
// +kubebuilder:printcolumn:name="Next",type=string,priority=1,JSONPath=`.status.nextFetchTime`,description="When Seam is asked again"
// +kubebuilder:printcolumn:name="Waits-For",type=string,priority=1,JSONPath=`.status.waitingFor`,description="What has to change before Seam is asked again, where no time is set"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="!has(self.spec.credentialSecretRef) || (has(self.spec.secret.name) ? self.spec.secret.name : self.metadata.name) != self.spec.credentialSecretRef.name",fieldPath=".spec.secret.name",reason=FieldValueInvalid,message="the token would overwrite the credential: set spec.secret.name (default: the name of this object) to another name than spec.credentialSecretRef.name"
// +kubebuilder:validation:XValidation:rule="!has(self.spec.userIdentifierKeySecretRef) || (has(self.spec.secret.name) ? self.spec.secret.name : self.metadata.name) != self.spec.userIdentifierKeySecretRef.name",fieldPath=".spec.secret.name",reason=FieldValueInvalid,message="the token would overwrite the user identifier key: set spec.secret.name (default: the name of this object) to another name than spec.userIdentifierKeySecretRef.name"
type SeamClientSession struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says which session, with which credential, how often, and where its token goes.
	// +required
	Spec SeamClientSessionSpec `json:"spec"`

	// status is what the operator last saw and did.
	// +optional
	Status SeamClientSessionStatus `json:"status,omitempty"`
}

// SeamClientSessionSpec says which session, with which credential, how often, and where its token goes.
//
// +kubebuilder:validation:XValidation:rule="[has(self.clientSessionID), has(self.userIdentifierKey), has(self.userIdentifierKeySecretRef)].filter(set, set).size() == 1",message="set exactly one of clientSessionID, userIdentifierKey and userIdentifierKeySecretRef"
// +kubebuilder:validation:XValidation:rule="has(self.credentialSecretRef) != has(self.workspaceRef)",message="set exactly one of credentialSecretRef and workspaceRef"
// +kubebuilder:validation:XValidation:rule="!has(self.workspaceRef) || !has(self.workspaceID)",message="the SeamWorkspace says which workspace it is: leave out workspaceID"
// +kubebuilder:validation:XValidation:rule="!has(self.provision) || !has(self.clientSessionID)",message="Seam makes sessions of a user: with provision set userIdentifierKey or userIdentifierKeySecretRef, not clientSessionID"
type SeamClientSessionSpec struct {
	// clientSessionID selects the session by its ID at Seam. It is opaque: letters, digits, '_' and '-'.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_-]+$')",message="must be the ID of a Seam client session, made of letters, digits, '_' and '-', such as c2cbd177-1ace-414b-bb1e-9f129e4a05c1"
	ClientSessionID string `json:"clientSessionID,omitempty"`

	// userIdentifierKey selects the session by the key of its user. Seam holds that this key should be known to the user
	// only: where that matters, use userIdentifierKeySecretRef.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	UserIdentifierKey string `json:"userIdentifierKey,omitempty"`

	// userIdentifierKeySecretRef selects the session by a user identifier key that is read from a Secret of this
	// namespace.
	// +optional
	UserIdentifierKeySecretRef *SecretKeyReference `json:"userIdentifierKeySecretRef,omitempty"`

	// credentialSecretRef names the Secret of this namespace that holds the credential for Seam: an API key, a personal
	// access token, a console session or a client session token. A publishable key can't read sessions. Set either this or
	// workspaceRef.
	// +optional
	CredentialSecretRef CredentialReference `json:"credentialSecretRef,omitzero"`

	// workspaceRef names the SeamWorkspace whose credential is used. In another namespace than this, it must grant this
	// namespace the session.
	// +optional
	WorkspaceRef *WorkspaceReference `json:"workspaceRef,omitempty"`

	// workspaceID is sent to Seam as the seam-workspace header, and every answer must be about it. A personal access token
	// and a console session need it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_-]+$')",message="must be the ID of a Seam workspace, made of letters, digits, '_' and '-', such as b887bf84-9849-4454-a562-cf84293d9781"
	WorkspaceID string `json:"workspaceID,omitempty"`

	// refreshInterval is how long the operator waits at most before it asks Seam again, at least 30s.
	// +optional
	// +kubebuilder:default="1h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$')",message="must be a duration such as 30s, 10m or 1h30m"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$') || duration(self) >= duration('30s')",message="must be at least 30s"
	RefreshInterval *metav1.Duration `json:"refreshInterval,omitempty"`

	// renewBefore is how long before the end of the session the operator begins to look more often whether its owner has
	// extended it. Default: a third of the life that this expiry promised when it was first seen, at most 24h. With provision it
	// is how long before the end the operator extends the session. Default, and at most: a third of the life that Seam granted.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$')",message="must be a duration such as 30s, 10m or 1h30m"
	RenewBefore *metav1.Duration `json:"renewBefore,omitempty"`

	// secret says where the token goes.
	// +optional
	// +kubebuilder:default={}
	Secret SecretSpec `json:"secret,omitempty"`

	// provision has the operator make the session where Seam has none of that user, and extend it before it ends. Without it
	// the operator only reads.
	// +optional
	Provision *Provision `json:"provision,omitempty"`

	// suspend stops the operator from asking Seam and from writing the Secret. What is in the Secret stays.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// Provision says what the session of a user should be. The operator never makes one shorter that there is, nor has it see less
// than the lists here that are set.
type Provision struct {
	// lifetime is how long the session lives after each extension, at least 10m. It is extended before its end; a later one that
	// somebody else gave it stays.
	// +optional
	// +kubebuilder:default="24h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$')",message="must be a duration such as 30m or 24h"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$') || duration(self) >= duration('10m') && duration(self) <= duration('8760h')",message="must be at least 10m and at most 8760h"
	Lifetime *metav1.Duration `json:"lifetime,omitempty"`

	// connectedAccountIDs are the connected accounts that the session may see. Left out, those of a session that there is stay.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	ConnectedAccountIDs []SeamID `json:"connectedAccountIDs,omitempty"`

	// connectWebviewIDs are the Connect Webviews whose accounts the session may see. Left out, those of a session that there is
	// stay.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	ConnectWebviewIDs []SeamID `json:"connectWebviewIDs,omitempty"`

	// userIdentityID is the user identity that the session is of. Left out, that of a session that there is stays.
	// +optional
	UserIdentityID SeamID `json:"userIdentityID,omitempty"`

	// whenDeleted says what happens at Seam when this object is deleted: Expire (the session ends by itself, at most lifetime later)
	// or Delete. Only a session that this object made is deleted, and not while another object uses it.
	// +optional
	// +kubebuilder:default=Expire
	WhenDeleted ProvisionedAction `json:"whenDeleted,omitempty"`
}

// ProvisionedAction is what happens to a session that an object made when that is deleted.
//
// +kubebuilder:validation:Enum=Expire;Delete
type ProvisionedAction string

// What happens to a session that an object made.
const (
	// ProvisionedExpire lets it end by itself.
	ProvisionedExpire ProvisionedAction = "Expire"
	// ProvisionedDelete deletes it at Seam.
	ProvisionedDelete ProvisionedAction = "Delete"
)

// Finalizer is on a SeamClientSession whose session is deleted at Seam before the object goes.
const Finalizer = "connect.seam.co/client-session"

// SeamID is the ID of something at Seam. It is opaque: letters, digits, '_' and '-'.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=64
// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_-]+$')",message="must be an ID that Seam gave, made of letters, digits, '_' and '-'"
type SeamID string

// CredentialReference names a key of a Secret of the same namespace that holds a credential for Seam.
type CredentialReference struct {
	// name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="must be the name of a Secret: lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit"
	Name string `json:"name"`

	// key in the Secret.
	// +optional
	// +kubebuilder:default=SEAM_API_KEY
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-._A-Za-z0-9]+$')",message="must be a key of a Secret: letters, digits, '-', '_' and '.'"
	Key string `json:"key,omitempty"`
}

// WorkspaceReference names a SeamWorkspace.
type WorkspaceReference struct {
	// name of the SeamWorkspace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="must be the name of a SeamWorkspace: lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit"
	Name string `json:"name"`

	// namespace of the SeamWorkspace; by default the namespace of this object.
	// +optional
	Namespace NamespaceName `json:"namespace,omitempty"`
}

// SecretKeyReference names a key of a Secret of the same namespace.
type SecretKeyReference struct {
	// name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="must be the name of a Secret: lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit"
	Name string `json:"name"`

	// key in the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-._A-Za-z0-9]+$')",message="must be a key of a Secret: letters, digits, '-', '_' and '.'"
	Key string `json:"key"`
}

// LabelValue is the value of a label, as Kubernetes defines it.
//
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule="self.matches('^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$')",message="must be a label value: at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit"
type LabelValue string

// AnnotationValue is the value of an annotation.
//
// +kubebuilder:validation:MaxLength=4096
type AnnotationValue string

// Template is a text/template for one value of the Secret. See docs/spec.md for the fields and functions it may use.
//
// +kubebuilder:validation:MaxLength=8192
type Template string

// SecretSpec says what the Secret that holds the token looks like.
type SecretSpec struct {
	// name of the Secret; by default the name of this object. It must not be a Secret that this object refers to.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="must be the name of a Secret: lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit"
	Name string `json:"name,omitempty"`

	// labels that the Secret gets beside those of the operator.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(key, key.indexOf('/') <= 253 && key.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="every key must be a label key such as team or example.com/team"
	// +kubebuilder:validation:XValidation:rule="self.all(key, !key.matches('^([^/]*[.])?(kubernetes[.]io|k8s[.]io)/') || key.startsWith('app.kubernetes.io/'))",message="keys under kubernetes.io and k8s.io are not allowed, but for app.kubernetes.io: Kubernetes could act on them; use a domain of your own"
	// +kubebuilder:validation:XValidation:rule="self.all(key, !key.matches('^([^/]*[.])?connect[.]seam[.]co/') && key != 'app.kubernetes.io/managed-by')",message="keys under connect.seam.co and app.kubernetes.io/managed-by belong to the operator: use a domain of your own"
	Labels map[string]LabelValue `json:"labels,omitempty"`

	// annotations that the Secret gets beside those of the operator.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(key, key.indexOf('/') <= 253 && key.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="every key must be an annotation key such as note or example.com/note"
	// +kubebuilder:validation:XValidation:rule="self.all(key, !key.matches('^([^/]*[.])?(kubernetes[.]io|k8s[.]io)/') || key.startsWith('app.kubernetes.io/'))",message="keys under kubernetes.io and k8s.io are not allowed, but for app.kubernetes.io: Kubernetes could act on them; use a domain of your own"
	// +kubebuilder:validation:XValidation:rule="self.all(key, !key.matches('^([^/]*[.])?connect[.]seam[.]co/') && key != 'app.kubernetes.io/managed-by')",message="keys under connect.seam.co and app.kubernetes.io/managed-by belong to the operator: use a domain of your own"
	Annotations map[string]AnnotationValue `json:"annotations,omitempty"`

	// type of the Secret. It can't be changed later, as in Kubernetes itself.
	// +optional
	// +kubebuilder:default=Opaque
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!(self in ['kubernetes.io/service-account-token', 'bootstrap.kubernetes.io/token'])",message="Kubernetes acts on Secrets of this type: use Opaque"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="the type of a Secret can't be changed: create another SeamClientSession with another spec.secret.name"
	Type string `json:"type,omitempty"`

	// template gives for each key of the Secret a Go text/template. Default: the keys token, client_session_id,
	// workspace_id and expires_at with the value of the field of that name.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(key, size(key) <= 253 && key.matches('^[-._A-Za-z0-9]+$') && key != '.' && !key.startsWith('..'))",message="every key must be a key of a Secret: at most 253 letters, digits, '-', '_' and '.', not beginning with '..'"
	Template map[string]Template `json:"template,omitempty"`

	// retentionPolicy says when the Secret is deleted.
	// +optional
	// +kubebuilder:default={}
	RetentionPolicy RetentionPolicy `json:"retentionPolicy,omitempty"`
}

// RetentionAction says what happens to the Secret.
//
// +kubebuilder:validation:Enum=Delete;Retain
type RetentionAction string

// What happens to the Secret.
const (
	// RetentionDelete deletes the Secret.
	RetentionDelete RetentionAction = "Delete"
	// RetentionRetain leaves the Secret as it is.
	RetentionRetain RetentionAction = "Retain"
)

// RetentionPolicy says when the Secret is deleted.
type RetentionPolicy struct {
	// whenDeleted says what happens to the Secret when this object is deleted, or names another Secret: Delete (it is
	// garbage-collected with the object) or Retain.
	// +optional
	// +kubebuilder:default=Delete
	WhenDeleted RetentionAction `json:"whenDeleted,omitempty"`

	// whenSessionEnds says what happens to the Secret when the session has expired or Seam says that it is gone: Retain or
	// Delete.
	// +optional
	// +kubebuilder:default=Retain
	WhenSessionEnds RetentionAction `json:"whenSessionEnds,omitempty"`
}

// SeamClientSessionStatus is what the operator last saw and did. All times are in whole seconds.
type SeamClientSessionStatus struct {
	// observedGeneration is the generation of the spec that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Ready, Synced, and where they apply Expiring and Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// reason says in one word why the session is as it is: that of Ready where no usable token is in the Secret, else that of
	// Synced where the last attempt failed, which also comes before that of a session that has ended, else that of Expiring where
	// the session ends soon, else that of Synced.
	// +optional
	Reason string `json:"reason,omitempty"`

	// secretName is the Secret that was last written.
	// +optional
	SecretName string `json:"secretName,omitempty"`

	// clientSessionID is the Seam client session that the selector resolved to.
	// +optional
	ClientSessionID string `json:"clientSessionID,omitempty"`

	// workspaceID is the Seam workspace of the session.
	// +optional
	WorkspaceID string `json:"workspaceID,omitempty"`

	// createdAt is when the session was created at Seam.
	// +optional
	CreatedAt *metav1.Time `json:"createdAt,omitempty"`

	// expiresAt is when the session ends; absent if Seam gave no end.
	// +optional
	ExpiresAt *metav1.Time `json:"expiresAt,omitempty"`

	// expiryObservedTime is when this expiresAt was first seen.
	// +optional
	ExpiryObservedTime *metav1.Time `json:"expiryObservedTime,omitempty"`

	// deviceCount is the number of devices that the session gives access to.
	// +optional
	DeviceCount *int32 `json:"deviceCount,omitempty"`

	// tokenFingerprint is the first 12 hexadecimal digits of the token's SHA-256: it tells two tokens apart and reveals
	// neither.
	// +optional
	TokenFingerprint string `json:"tokenFingerprint,omitempty"`

	// secretFingerprint is the first half of the annotation connect.seam.co/content-hash of the Secret as it stood after the last
	// good answer. A Secret that is as sound and has another is an earlier copy, which somebody has put back.
	// +optional
	SecretFingerprint string `json:"secretFingerprint,omitempty"`

	// requestFingerprint tells the request that last had a good answer from others: the first 12 hexadecimal digits of an
	// HMAC-SHA256, keyed with the credential, over workspace, kind of selector and selector. Without the credential no guess
	// at a user identifier key can be tested with it.
	// +optional
	RequestFingerprint string `json:"requestFingerprint,omitempty"`

	// failedRequestFingerprint is the same of the request that Seam refused last, where another credential or user identifier
	// key may help: a request of the same fingerprint is made when that is scheduled, and not before.
	// +optional
	FailedRequestFingerprint string `json:"failedRequestFingerprint,omitempty"`

	// notFoundSince is when, by Seam's clock, its answers in a row to the request that last had a good answer began to say
	// that there is no such session, or that it has ended. A good answer or another request clears it.
	// +optional
	NotFoundSince *metav1.Time `json:"notFoundSince,omitempty"`

	// provisioned is the session that this object made; absent if it made none.
	// +optional
	Provisioned *Provisioned `json:"provisioned,omitempty"`

	// provisioning is what came of making and extending the session; absent before the first call that does.
	// +optional
	Provisioning *Provisioning `json:"provisioning,omitempty"`

	// lastFetchTime is when Seam last gave a good answer of which the Secret was brought up to date.
	// +optional
	LastFetchTime *metav1.Time `json:"lastFetchTime,omitempty"`

	// lastAttemptTime is when Seam was last called about this session; absent as long as it never was, such as for want of a
	// credential.
	// +optional
	LastAttemptTime *metav1.Time `json:"lastAttemptTime,omitempty"`

	// nextFetchTime is when Seam is asked again; absent while that waits for what waitingFor says.
	// +optional
	NextFetchTime *metav1.Time `json:"nextFetchTime,omitempty"`

	// waitingFor is what has to change before Seam is asked again; absent where nextFetchTime says when it is. A credential that
	// Seam refuses is tried once a minute all the same, for one of the objects that share it.
	// +optional
	WaitingFor string `json:"waitingFor,omitempty"`

	// lastRotationTime is when the token last changed.
	// +optional
	LastRotationTime *metav1.Time `json:"lastRotationTime,omitempty"`

	// failedFetches counts the calls to Seam about this session, in a row, that failed. An attempt that did not get as far as a
	// call is not one of them.
	// +optional
	FailedFetches int32 `json:"failedFetches,omitempty"`

	// failedWrites counts the attempts in a row after which the API server did not take the Secret, or refused to delete one.
	// +optional
	FailedWrites int32 `json:"failedWrites,omitempty"`

	// secretRepairs tells how often the Secret was corrected because somebody else had changed or deleted it; absent if it never
	// was.
	// +optional
	SecretRepairs *SecretRepairs `json:"secretRepairs,omitempty"`

	// lastRefusal is what Seam last said against this session, while Synced says something else, such as that Seam can't be
	// reached. It goes with a good answer, and when something else is asked.
	// +optional
	LastRefusal *Refusal `json:"lastRefusal,omitempty"`

	// lastHandledRefreshRequest is the last value of the annotation connect.seam.co/refresh-requested-at that was acted
	// on.
	// +optional
	LastHandledRefreshRequest string `json:"lastHandledRefreshRequest,omitempty"`
}

// SecretRepairs are the corrections of a Secret that somebody else had changed or deleted.
type SecretRepairs struct {
	// count is how many there were since this object was made.
	// +required
	Count int32 `json:"count"`

	// lastTime is when the last one was made.
	// +required
	LastTime metav1.Time `json:"lastTime"`

	// lastManager is the field manager that had changed the Secret before the last one; absent where the API server named none, as
	// after a deletion.
	// +optional
	LastManager string `json:"lastManager,omitempty"`
}

// Refusal is what Seam said against a session.
type Refusal struct {
	// time is when Seam last said so.
	// +required
	Time metav1.Time `json:"time"`

	// reason is the one that Synced had.
	// +required
	Reason string `json:"reason"`

	// message says what to do.
	// +required
	Message string `json:"message"`

	// requestFingerprint tells the request that Seam refused from others, as status.requestFingerprint does; absent where that
	// is not known.
	// +optional
	RequestFingerprint string `json:"requestFingerprint,omitempty"`
}

// Provisioned is a session that an object made.
type Provisioned struct {
	// requestedTime is when Seam was to be asked to make a session, by its own clock: written before the call, and taken away when
	// that is known to have made none.
	// +optional
	RequestedTime *metav1.Time `json:"requestedTime,omitempty"`

	// clientSessionID is the session that was made; absent while that is not known.
	// +optional
	ClientSessionID string `json:"clientSessionID,omitempty"`

	// workspaceID is the workspace that it was made in.
	// +optional
	WorkspaceID string `json:"workspaceID,omitempty"`

	// formerClientSessionIDs are sessions that were made for another user, before the spec named this one.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	FormerClientSessionIDs []string `json:"formerClientSessionIDs,omitempty"`
}

// Provisioning is what came of making and extending a session.
type Provisioning struct {
	// lastCallTime is when Seam was last asked to make or extend the session, by its own clock.
	// +optional
	LastCallTime *metav1.Time `json:"lastCallTime,omitempty"`

	// grantedUntil is the end that it gave the session then; absent if it refused, or gave none.
	// +optional
	GrantedUntil *metav1.Time `json:"grantedUntil,omitempty"`

	// specHash tells the spec.provision of that call from others.
	// +optional
	SpecHash string `json:"specHash,omitempty"`

	// callsInARow counts the calls in a row that failed or made a session: the pause before the next grows with it.
	// +optional
	CallsInARow int32 `json:"callsInARow,omitempty"`

	// notBefore is when Seam is asked again at the earliest where the last call failed, or the session that it made is gone.
	// +optional
	NotBefore *metav1.Time `json:"notBefore,omitempty"`

	// reason is that of the failure of the last call; absent if it succeeded.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`

	// message says what failed and what to do.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// SeamClientSessionList is a list of SeamClientSessions.
//
// +kubebuilder:object:root=true
type SeamClientSessionList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []SeamClientSession `json:"items"`
}

// SecretName is the name of the Secret that the spec asks for.
func (s *SeamClientSession) SecretName() string {
	if s.Spec.Secret.Name != "" {
		return s.Spec.Secret.Name
	}
	return s.Name
}

// Workspace is the namespace and name of the SeamWorkspace that the spec names; empty if it names none.
func (s *SeamClientSession) Workspace() types.NamespacedName {
	ref := s.Spec.WorkspaceRef
	switch {
	case ref == nil:
		return types.NamespacedName{}
	case ref.Namespace == "":
		return types.NamespacedName{Namespace: s.Namespace, Name: ref.Name}
	}
	return types.NamespacedName{Namespace: string(ref.Namespace), Name: ref.Name}
}
