package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SeamWorkspace holds the credential of a Seam workspace for SeamClientSessions of other namespaces, and says which of them
// may use it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=seamworkspaces,singular=seamworkspace,shortName=sws,categories=seam,scope=Namespaced
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="Whether Seam takes the credential, and it is of the right workspace"
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,description="Why it is ready or not"
// +kubebuilder:printcolumn:name="Workspace",type=string,JSONPath=`.status.name`,description="The name of the workspace at Seam"
// +kubebuilder:printcolumn:name="Sandbox",type=boolean,JSONPath=`.status.sandbox`,description="Whether it is a sandbox"
// +kubebuilder:printcolumn:name="Polled",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="EventsPolled")].status`,description="Whether Seam's events are read"
// +kubebuilder:printcolumn:name="ID",type=string,priority=1,JSONPath=`.status.workspaceID`,description="The ID of the workspace at Seam"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type SeamWorkspace struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says which credential, and who may use it.
	// +required
	Spec SeamWorkspaceSpec `json:"spec"`

	// status is what the operator last saw.
	// +optional
	Status SeamWorkspaceStatus `json:"status,omitempty"`
}

// SeamWorkspaceSpec says which credential opens the workspace, and who may use it.
type SeamWorkspaceSpec struct {
	// credentialSecretRef names the Secret of this namespace that holds the credential for Seam: an API key, a personal access
	// token or a console session.
	// +required
	CredentialSecretRef CredentialReference `json:"credentialSecretRef"`

	// workspaceID is sent to Seam as the seam-workspace header, and every answer must be about it. A personal access token
	// and a console session need it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_-]+$')",message="must be the ID of a Seam workspace, made of letters, digits, '_' and '-', such as b887bf84-9849-4454-a562-cf84293d9781"
	WorkspaceID string `json:"workspaceID,omitempty"`

	// grants say which other namespaces may use the workspace, and for which sessions. Each stands alone: one of them must allow
	// all that a session needs. SeamClientSessions of this namespace may do everything.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Grants []Grant `json:"grants,omitempty"`

	// events says how Seam's events are read.
	// +optional
	// +kubebuilder:default={}
	Events WorkspaceEvents `json:"events,omitempty"`
}

// Grant lets namespaces use the workspace.
type Grant struct {
	// namespaces says which.
	// +required
	Namespaces GrantedNamespaces `json:"namespaces"`

	// userIdentifierKeyPrefixes narrows the grant to sessions whose user identifier key begins with one of these, byte by byte.
	// Sessions that are selected by clientSessionID are then not granted: whose they are shows only in Seam's answer.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	UserIdentifierKeyPrefixes []KeyPrefix `json:"userIdentifierKeyPrefixes,omitempty"`

	// allow says what for: Read lets sessions be read, Provision lets them also be made and extended.
	// +optional
	// +listType=set
	// +kubebuilder:default={Read}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	Allow []GrantedUse `json:"allow,omitempty"`

	// associations are what sessions may be made to see, with Provision: nothing that is not listed here. What a session sees
	// already is neither given nor taken by that.
	// +optional
	Associations *Associations `json:"associations,omitempty"`
}

// GrantedUse is what a grant is for.
//
// +kubebuilder:validation:Enum=Read;Provision
type GrantedUse string

// What a grant is for.
const (
	// GrantedRead lets sessions be read.
	GrantedRead GrantedUse = "Read"
	// GrantedProvision lets sessions be made and extended as well.
	GrantedProvision GrantedUse = "Provision"
)

// Associations are what sessions may be made to see.
type Associations struct {
	// connectedAccountIDs that spec.provision of a session may name.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	ConnectedAccountIDs []SeamID `json:"connectedAccountIDs,omitempty"`

	// connectWebviewIDs that spec.provision of a session may name.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	ConnectWebviewIDs []SeamID `json:"connectWebviewIDs,omitempty"`

	// userIdentityIDs that spec.provision of a session may name.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	UserIdentityIDs []SeamID `json:"userIdentityIDs,omitempty"`
}

// KeyPrefix is what a user identifier key begins with.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=512
type KeyPrefix string

// GrantedNamespaces are namespaces by name or by label.
//
// +kubebuilder:validation:XValidation:rule="has(self.names) != has(self.selector)",message="set exactly one of names and selector"
type GrantedNamespaces struct {
	// names of the namespaces. One that is deleted and made again is still granted.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	Names []NamespaceName `json:"names,omitempty"`

	// selector selects namespaces by their labels: it trusts whoever may label them. The operator must be allowed to watch
	// namespaces, which it is not where it is installed for some namespaces alone.
	// +optional
	Selector *NamespaceSelector `json:"selector,omitempty"`
}

// NamespaceName is the name of a namespace.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="must be the name of a namespace: lower-case letters, digits and '-', beginning and ending with a letter or digit"
type NamespaceName string

// NamespaceSelector selects namespaces that have all of some labels.
type NamespaceSelector struct {
	// matchLabels are the labels that a namespace must have.
	// +required
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(key, key.indexOf('/') <= 253 && key.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="every key must be a label key such as team or example.com/team"
	MatchLabels map[string]LabelValue `json:"matchLabels"`
}

// WorkspaceEvents says how Seam's events are read.
type WorkspaceEvents struct {
	// pollInterval is how often Seam is asked which sessions were deleted, with one call however many sessions there are: at
	// least 10s, or 0s for never. Until then a deletion shows when a session is fetched again.
	// +optional
	// +kubebuilder:default="30s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$')",message="must be a duration such as 30s, 10m or 1h30m, or 0s"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$') || duration(self) >= duration('10s') || duration(self) == duration('0s')",message="must be at least 10s, or 0s to turn it off"
	PollInterval *metav1.Duration `json:"pollInterval,omitempty"`
}

// SeamWorkspaceStatus is what the operator last saw. All times are in whole seconds.
type SeamWorkspaceStatus struct {
	// observedGeneration is the generation of the spec that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Ready, EventsPolled, and where they apply Stalled and GrantsApplied.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// workspaceID is the ID of the workspace at Seam. An answer about a session of another is not believed.
	// +optional
	WorkspaceID string `json:"workspaceID,omitempty"`

	// name is the name of the workspace at Seam.
	// +optional
	Name string `json:"name,omitempty"`

	// sandbox says whether Seam calls it a sandbox.
	// +optional
	Sandbox *bool `json:"sandbox,omitempty"`

	// lastCheckTime is when Seam last said which workspace this is.
	// +optional
	LastCheckTime *metav1.Time `json:"lastCheckTime,omitempty"`

	// lastEventTime is the time, by Seam's clock, up to which its events were read. It is written when there were events, and
	// otherwise every ten minutes.
	// +optional
	LastEventTime *metav1.Time `json:"lastEventTime,omitempty"`
}

// SeamWorkspaceList is a list of SeamWorkspaces.
//
// +kubebuilder:object:root=true
type SeamWorkspaceList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []SeamWorkspace `json:"items"`
}
