package seam

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// fingerprintDigits is how many hex digits a fingerprint has.
const fingerprintDigits = 12

// Fingerprint identifies the question that GetClientSession sends for the selector: 12 hex digits, the same for the same
// credential, workspace and selector, wherever those came from. It may be shown: it is an HMAC with the credential as its key,
// so that without the credential no guess at a user identifier key can be tested with it.
func (c *Connection) Fingerprint(selector Selector) string {
	secret := c.credential.reveal()
	kind, value := "client_session_id", selector.ClientSessionID
	if value == "" {
		kind, value = "user_identifier_key", selector.UserIdentifierKey
	}
	mac := hmac.New(sha256.New, []byte(secret.value))
	for _, part := range []string{secret.workspaceID, kind, value} {
		// Its length first: otherwise parts that are cut elsewhere would be the same.
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		mac.Write([]byte(part))
	}
	return hex.EncodeToString(mac.Sum(nil))[:fingerprintDigits]
}
