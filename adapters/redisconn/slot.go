package redisconn

import "strings"

// numSlots is how many hash slots a Redis Cluster has.
const numSlots = 16384

// slotOf returns the hash slot of a topic: the CRC16 of its name or, if the name has
// a [hash tag], of the tag.
//
// [hash tag]: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags
func slotOf(topic string) int {
	if _, rest, ok := strings.Cut(topic, "{"); ok {
		if tag, _, ok := strings.Cut(rest, "}"); ok && tag != "" {
			topic = tag
		}
	}
	return int(crc16(topic)) % numSlots
}

// crc16 is CRC-16/XMODEM.
func crc16(s string) (crc uint16) {
	for i := range len(s) {
		crc ^= uint16(s[i]) << 8
		for range 8 {
			carry := crc & 0x8000
			crc <<= 1
			if carry != 0 {
				crc ^= 0x1021
			}
		}
	}
	return crc
}
