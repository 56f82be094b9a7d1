// Package controller reconciles SeamClientSessions: it observes, has package lifecycle decide, fetches from Seam what is due,
// applies that to the Secret, and reports on the object.
//
// Each step is in the file of its name; only this package writes to Kubernetes, and it decides nothing. How Seam is called,
// when, and what the Secret looks like belong in the packages seam, schedule and secret.
package controller

// +kubebuilder:rbac:groups=connect.seam.co,resources=seamclientsessions,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=connect.seam.co,resources=seamclientsessions/status,verbs=patch
// +kubebuilder:rbac:groups=connect.seam.co,resources=seamworkspaces,verbs=list;watch
// +kubebuilder:rbac:groups=connect.seam.co,resources=seamworkspaces/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch;create;update;patch;delete
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
