package control

import (
	"fmt"
	"strconv"

	"github.com/fanfarebus/fanfare/domain/jsontext"
)

func parseBeat(text []byte) (*beat, error) {
	t := &beat{}
	err := jsontext.Fields(text, func(name, value []byte) (err error) {
		var n int64
		switch string(name) {
		case "version":
			t.version, err = label(value)
		case "sessions":
			n, err = number(value, 0, maxNumber)
			t.sessions = int(n)
		case "users":
			n, err = number(value, 0, maxNumber)
			t.users = int(n)
		case "systems":
			t.systems, err = parseIDs(value, maxSystems)
		case "systems_more":
			n, err = number(value, 0, maxNumber)
			t.systemsMore = int(n)
		case "lag_ms":
			t.lag, err = number(value, 0, maxNumber)
		case "draining":
			t.draining = isTrue(value)
		case "ready":
			t.ready = isTrue(value)
		case "facts":
			t.facts, err = parseDigest(value)
		case "rows":
			t.rows, err = parseDigest(value)
		case "speaks":
			t.speaks = isTrue(value)
		case "unspoken_ms":
			t.unspoken, err = number(value, 0, maxNumber)
		case "webhooks":
			var digits []byte
			if digits, err = jsontext.Text(value); err == nil {
				t.webhooks, err = parseHex(digits)
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

func parseDigest(text []byte) (d digest, err error) {
	err = jsontext.Fields(text, func(name, value []byte) (err error) {
		switch string(name) {
		case "n":
			var n int64
			n, err = number(value, 0, maxNumber)
			d.n = int(n)
		case "digest":
			var digits []byte
			if digits, err = jsontext.Text(value); err == nil {
				d.sum, err = parseHex(digits)
			}
		}
		return err
	})
	return d, err
}

// parseHex reads the 16 digits that appendHex writes.
func parseHex(digits []byte) (uint64, error) {
	if len(digits) != 16 {
		return 0, fmt.Errorf("%w: a digest has 16 digits", errMalformed)
	}
	n, err := strconv.ParseUint(string(digits), 16, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: a digest is hexadecimal", errMalformed)
	}
	return n, nil
}

func parseBuckets(text []byte) (*buckets, error) {
	q := &buckets{}
	found := false
	err := jsontext.Fields(text, func(name, value []byte) (err error) {
		switch string(name) {
		case "to":
			q.to, err = short(value, maxID)
		case "digests":
			found = true
			var digits []byte
			if digits, err = jsontext.Text(value); err != nil {
				return err
			}
			if len(digits) != 16*bucketCount {
				return fmt.Errorf("%w: there are %d buckets", errMalformed, bucketCount)
			}
			for i := range q.sums {
				if q.sums[i], err = parseHex(digits[16*i:][:16]); err != nil {
					return err
				}
			}
		}
		return err
	})
	if err == nil && !found {
		err = fmt.Errorf("%w: a question without digests", errMalformed)
	}
	if err != nil {
		return nil, err
	}
	return q, nil
}

// parseItem reads a fact. One of an unknown kind is no error.
func parseItem(text []byte) (f item, err error) {
	var key []byte
	err = jsontext.Fields(text, func(name, value []byte) (err error) {
		switch string(name) {
		case "k":
			key = value
		case "v":
			f.value, err = parseValue(value)
		case "until":
			f.until, err = number(value, 0, maxNumber)
		case "keep":
			f.keep, err = number(value, 0, maxNumber)
		case "ver":
			f.ver, err = parseVersion(value)
		case "del":
			f.del = isTrue(value)
		case "unproven":
			f.unproven = isTrue(value)
		case "want":
			f.want, err = parseIDs(value, maxWant)
		}
		return err
	})
	if err != nil {
		return f, err
	}
	if f.key, err = parseKey(key); err != nil || !f.key.Kind.known() {
		return f, err
	}
	f.keep = max(f.keep, f.until)
	f.value = f.value.of(f.key.Kind)
	if f.ver.inc == "" || f.until == 0 {
		return f, fmt.Errorf("%w: a fact has a version and an end", errMalformed)
	}
	if err := f.key.check(); err != nil {
		return f, err
	}
	return f, f.value.check()
}

// parseKey reads [kind, name] or, of a membership, [kind, system, room, name].
func parseKey(text []byte) (k Key, err error) {
	var parts [4]string
	n := 0
	err = jsontext.Array(text, func(value []byte) error {
		if n == len(parts) {
			return fmt.Errorf("%w: a key has at most %d parts", errMalformed, len(parts))
		}
		text, err := jsontext.String(value)
		parts[n] = text
		n++
		return err
	})
	k.Kind = Kind(parts[0])
	switch {
	case err != nil || !k.Kind.known():
	case k.Kind == Membership && n == 4:
		k.System, k.Room, k.Name = parts[1], parts[2], parts[3]
	case k.Kind != Membership && n == 2:
		k.Name = parts[1]
	default:
		err = fmt.Errorf("%w: a key with %d parts", errMalformed, n)
	}
	return k, err
}

func parseValue(text []byte) (v Value, err error) {
	err = jsontext.Fields(text, func(name, value []byte) (err error) {
		switch string(name) {
		case "reason":
			v.Reason, err = jsontext.String(value)
		case "code":
			v.Code, err = count(value, 1<<16-1)
		case "final":
			v.Final = isTrue(value)
		case "before":
			v.Before, err = number(value, 0, maxNumber)
		case "rate":
			v.Rate, err = count(value, MaxRate)
		case "sessions":
			v.Sessions, err = count(value, MaxSessions)
		}
		return err
	})
	return v, err
}

// count reads a number from 0 to most.
func count(text []byte, most int64) (int, error) {
	n, err := number(text, 0, most)
	return int(n), err
}

// parseVersion reads [ms, counter, incarnation].
func parseVersion(text []byte) (v version, err error) {
	n := 0
	err = jsontext.Array(text, func(value []byte) (err error) {
		switch n {
		case 0:
			v.ms, err = number(value, 0, maxNumber)
		case 1:
			var counter int64
			counter, err = number(value, 0, 1<<32-1)
			v.counter = uint32(counter)
		case 2:
			v.inc, err = parseID(value)
		}
		n++
		return err
	})
	if err == nil && n < 3 {
		err = fmt.Errorf("%w: a version with %d parts", errMalformed, n)
	}
	return v, err
}
