// Package references reads what sessions refer to, credentials and user identifier keys, out of other people's Secrets, and
// notices when a change of one may help a session that failed.
//
// Of a Secret it keeps the one value that is used, for a few seconds. It watches a namespace only while a session in it
// waits for such a change, and then the metadata alone. All of it is bounded, however many Secrets and sessions a tenant
// makes.
package references
