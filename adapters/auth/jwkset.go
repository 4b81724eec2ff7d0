package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/fanfarebus/fanfare/domain/jsontext"
)

// maxSetKeys is the most keys that a fetched set may have. A forged token that names
// none of them costs a verification with each.
const maxSetKeys = 32

// A keySet holds the keys that verify tokens at one time. It does not change.
type keySet struct {
	keys []*key
	// named says that tokens name their key (kid), as those of an issuer with a set of
	// keys do. Keys that are configured are tried one after the other.
	named bool
}

// errUnknownKey says that no key of the set can have signed a token. A newer set may
// have one.
var errUnknownKey = errors.New("unknown key")

// verify returns the key that the token was signed with. It returns errUnknownKey, or a
// refusal.
func (set *keySet) verify(s signed) (*key, error) {
	if set.named && s.keyID != "" {
		return set.verifyNamed(s)
	}
	k, err := tryKeys(set.keys, s)
	if k == nil && set.named {
		// The issuer gives its keys no names, and may have replaced them.
		return nil, errUnknownKey
	}
	return k, err
}

// verifyNamed is verify for a token that names its key. Several keys may have one name
// if they are of different types.
func (set *keySet) verifyNamed(s signed) (*key, error) {
	var named []*key
	for _, k := range set.keys {
		if k.id == s.keyID {
			named = append(named, k)
		}
	}
	if len(named) == 0 {
		return nil, errUnknownKey
	}
	return tryKeys(named, s)
}

// tryKeys returns the first of the keys with which the signature is good.
func tryKeys(keys []*key, s signed) (*key, error) {
	tried := false
	for _, k := range keys {
		if !slices.Contains(k.algorithms, s.algorithm) {
			continue
		}
		tried = true
		if k.verifies(s) {
			return k, nil
		}
	}
	if !tried {
		return nil, conceal(ReasonAlgorithm, "",
			"the token's alg is %.20q, and the configured key is for %s", s.algorithm, algorithms(keys))
	}
	return nil, conceal(ReasonSignature, "", "the token is not signed with the configured key")
}

// algorithms names the algorithms of the keys.
func algorithms(keys []*key) string {
	var all []string
	for _, k := range keys {
		all = append(all, k.algorithms...)
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ", ")
}

// parseKeySet reads a JSON Web Key Set ([RFC 7517 §5]). Keys that cannot verify tokens
// are left out, and ignored says why; the error says that the text is no set.
//
// [RFC 7517 §5]: https://www.rfc-editor.org/rfc/rfc7517#section-5
func parseKeySet(text []byte) (keys []*key, ignored []string, err error) {
	found, n := false, 0
	err = jsontext.Fields(text, func(name, value []byte) error {
		if string(name) != "keys" {
			return nil
		}
		found = true
		return jsontext.Array(value, func(element []byte) error {
			if n++; n > maxSetKeys {
				return fmt.Errorf("the set has more than %d keys", maxSetKeys)
			}
			k, err := parseJWK(element)
			if err != nil {
				ignored = append(ignored, fmt.Sprintf("key %d: %v", n, err))
				return nil
			}
			keys = append(keys, k)
			return nil
		})
	})
	switch {
	case errors.Is(err, jsontext.ErrSyntax), errors.Is(err, jsontext.ErrType):
		return nil, nil, errors.New("the answer is no JSON Web Key Set")
	case err != nil:
		return nil, nil, err
	case !found:
		return nil, nil, errors.New(`the answer is no JSON Web Key Set: it has no "keys"`)
	}
	return keys, ignored, nil
}

// parseJWK reads one key of a set. It refuses keys that are not for signatures, that
// are not public, or that are weak.
func parseJWK(text []byte) (*key, error) {
	r, err := readJWK(text)
	if err != nil {
		return nil, fmt.Errorf("it cannot be read: %w", err)
	}
	switch {
	case r.private:
		return nil, errors.New("it is a private or symmetric key, which everybody can now sign with")
	case r.use != "" && r.use != "sig":
		return nil, fmt.Errorf("its use is %.20q", r.use)
	case r.hasOperations && !slices.Contains(r.operations, "verify"):
		return nil, errors.New("its key_ops do not have verify")
	}
	var parsed jose.JSONWebKey
	if err := parsed.UnmarshalJSON(r.public); err != nil {
		return nil, fmt.Errorf("it is no public key: %.200s", err)
	}
	k, err := publicKey(parsed.Key)
	if err != nil {
		return nil, err
	}
	k.id = r.id
	if r.algorithm != "" {
		if !slices.Contains(k.algorithms, r.algorithm) {
			return nil, fmt.Errorf("its alg is %.20q, and its type is for %s", r.algorithm,
				strings.Join(k.algorithms, ", "))
		}
		k.algorithms = []string{r.algorithm}
	}
	return k, nil
}

// A rawJWK is what a JSON Web Key says.
type rawJWK struct {
	id, use, algorithm string
	operations         []string
	hasOperations      bool
	private            bool
	// public holds what makes the public key, and nothing else, as an object for the
	// library: it would judge certificates, too, which do not matter here.
	public []byte
}

func readJWK(text []byte) (r rawJWK, err error) {
	r.public = []byte{'{'}
	err = jsontext.Fields(text, func(name, value []byte) (err error) {
		switch string(name) {
		case "kid":
			r.id, err = jsontext.String(value)
		case "use":
			r.use, err = jsontext.String(value)
		case "alg":
			r.algorithm, err = jsontext.String(value)
		case "key_ops":
			r.hasOperations = true
			r.operations, err = texts(value)
		case "d", "p", "q", "k":
			r.private = true
		case "kty", "crv", "n", "e", "x", "y":
			if _, err = jsontext.String(value); err != nil {
				return err
			}
			if len(r.public) > 1 {
				r.public = append(r.public, ',')
			}
			r.public = append(jsontext.AppendString(r.public, name), ':')
			r.public = append(r.public, value...)
		}
		return err
	})
	r.public = append(r.public, '}')
	return r, err
}
