// Package v1alpha1 is the API of the operator: the kind SeamClientSession of the group connect.seam.co, the vocabulary
// of its conditions, and the annotations that users and the operator agree on.
//
// Only types, their markers and constants go in it. It imports nothing of the operator, so that others can import it.
//
// +kubebuilder:object:generate=true
// +groupName=connect.seam.co
package v1alpha1
