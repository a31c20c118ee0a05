package pcapng

import (
	"encoding/binary"
	"fmt"

	"mosn.io/tcpcopy/pkg/record"
)

// packetOptions are the options of a packet that say something of a connection.
type packetOptions struct {
	direction uint32
	comments  [4]parsedComment
	n         int // comments
}

// parse reads the options in b. An option is damage when neither the recorder writes
// it nor the tools that copy its files add it.
func (o *packetOptions) parse(b []byte) error {
	for len(b) >= 4 {
		code, n := binary.LittleEndian.Uint16(b), int(binary.LittleEndian.Uint16(b[2:]))
		padded := 4 + (n+3)&^3
		if padded > len(b) {
			break
		}
		value := b[4 : 4+n]
		b = b[padded:]
		switch {
		case code == optEnd && n == 0 && len(b) == 0:
			return nil
		case code == optPacketFlags && n == 4:
			o.direction = binary.LittleEndian.Uint32(value) & 3
		case code == optComment && o.n < len(o.comments):
			text := string(value)
			c, ok := parseComment(text)
			switch {
			case ok:
				o.comments[o.n] = c
				o.n++
			case resemblesOurs(text):
				return fmt.Errorf("%w: a comment that reads %.80q", record.ErrMalformed, value)
			}
		case code == optPacketDropped && n == 8, code == optPacketID && n == 8, code == optPacketQueue && n == 4:
		default:
			return fmt.Errorf("%w: packet option %d of %d bytes", record.ErrMalformed, code, n)
		}
	}
	if len(b) > 0 {
		return fmt.Errorf("%w: packet options", record.ErrMalformed)
	}
	return nil
}
