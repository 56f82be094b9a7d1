// Package controller reconciles SeamClientSessions: it asks Seam when that is due, brings the Secret up to date, and
// reports on the object.
//
// What the reconciler does, in this order, is in reconcile.go; each step has a file of its own. What is decided is
// decided by pure functions of values (decide.go, status.go, events.go), and only this package writes to Kubernetes.
// How Seam is spoken to, when it is asked and what the Secret looks like belong in the packages seam, schedule and
// secret.
package controller

// +kubebuilder:rbac:groups=connect.seam.co,resources=seamclientsessions,verbs=get;list;watch
// +kubebuilder:rbac:groups=connect.seam.co,resources=seamclientsessions/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch;create;update;delete
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
