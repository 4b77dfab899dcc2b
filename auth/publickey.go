package auth

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"strings"

	"github.com/belfryhq/belfry"
)

// Algorithm is how user tokens are signed, in the spelling of a JWT's "alg".
type Algorithm string

const (
	RS256 Algorithm = "RS256"
	EdDSA Algorithm = "EdDSA" // with Ed25519
)

const (
	// MinRSABits and MaxRSABits bound imported RSA keys: below, they can be factored; above, checking a signature
	// takes long enough to be a weapon.
	MinRSABits = 2048
	MaxRSABits = 8192
	// MaxPEMLength bounds an imported key's text, in bytes. An RSA key of MaxRSABits takes 1.5 KiB.
	MaxPEMLength = 16 << 10
)

// parsePublicPEM reads one PKIX public key. Errors are *belfry.Error at "publicKey".
func parsePublicPEM(text []byte) (crypto.PublicKey, error) {
	if len(text) > MaxPEMLength {
		return nil, belfry.Beyond("publicKey", MaxPEMLength, "bytes")
	}
	block, rest := pem.Decode(text)
	switch {
	case block == nil:
		return nil, invalidPublicKey("this is not PEM: it begins with -----BEGIN PUBLIC KEY-----")
	case strings.Contains(block.Type, "PRIVATE"):
		return nil, invalidPublicKey("this is a private key, which must stay with you: generate a new pair and import its public half (openssl pkey -pubout)")
	case block.Type != "PUBLIC KEY":
		return nil, invalidPublicKey("this is PEM, but no PUBLIC KEY block: make one with openssl pkey -pubout")
	case len(strings.TrimSpace(string(rest))) > 0:
		return nil, invalidPublicKey("there is more than one PEM block: import one key at a time")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, invalidPublicKey("the PUBLIC KEY block cannot be read: make it with openssl pkey -pubout")
	}
	return key, validatePublicKey(key)
}

func validatePublicKey(key crypto.PublicKey) error {
	switch key := key.(type) {
	case ed25519.PublicKey:
		return nil
	case *rsa.PublicKey:
		bits := key.N.BitLen()
		if bits > MaxRSABits {
			return belfry.Beyond("publicKey", MaxRSABits, "bits")
		}
		if bits < MinRSABits {
			err := invalidPublicKey("an RSA key needs at least 2048 bits: generate a longer one")
			err.Limit = MinRSABits
			return err
		}
		// crypto/rsa refuses these too, but only when the first token comes.
		if key.N.Bit(0) == 0 || key.E < 3 || key.E%2 == 0 {
			return invalidPublicKey("the modulus and the exponent of an RSA key are odd, and the exponent is 3 or more")
		}
		return nil
	}
	return invalidPublicKey("user tokens are signed with RSA (RS256) or Ed25519 (EdDSA): generate such a key")
}

func invalidPublicKey(message string) *belfry.Error {
	return belfry.Errorf(belfry.Invalid, "%s", message).At("publicKey")
}

func algorithmOf(key crypto.PublicKey) Algorithm {
	if _, ok := key.(ed25519.PublicKey); ok {
		return EdDSA
	}
	return RS256
}

// thumbprint names a key after itself (RFC 7638, RFC 8037), so that customers' libraries can compute the kid as well,
// and the same key cannot be registered twice in an environment.
func thumbprint(key crypto.PublicKey) string {
	encode := base64.RawURLEncoding.EncodeToString
	var members map[string]string // exactly the required ones; Marshal sorts them, as the RFC wants
	switch key := key.(type) {
	case ed25519.PublicKey:
		members = map[string]string{"crv": "Ed25519", "kty": "OKP", "x": encode(key)}
	case *rsa.PublicKey:
		members = map[string]string{"e": encode(big.NewInt(int64(key.E)).Bytes()), "kty": "RSA", "n": encode(key.N.Bytes())}
	}
	text, _ := json.Marshal(members) // strings only: cannot fail
	sum := sha256.Sum256(text)
	return encode(sum[:])
}
