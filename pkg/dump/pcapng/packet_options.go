package pcapng

import (
	"fmt"

	"mosn.io/tcpcopy/pkg/record"
)

// packetOptions are the options of a packet that say something of a connection.
type packetOptions struct {
	direction uint32
	comments  []parsedComment   // in the recorder's form; the first maxComments of them
	resembles [numComments]bool // kinds of comments that another text may be with damage
}

// maxComments bounds the comments of a packet that are looked at, whatever a file
// contains. The recorder writes three at most.
const maxComments = 64

// reset forgets the options of the packet before.
func (o *packetOptions) reset() {
	o.direction = 0
	if len(o.comments) > 0 {
		o.comments = o.comments[:0]
	}
	o.resembles = [numComments]bool{}
}

// silent reports whether no comment says anything, or may have done so before it was damaged.
func (o *packetOptions) silent() bool {
	return len(o.comments) == 0 && o.resembles == [numComments]bool{}
}

// parse reads the options in b. Options that are not known are skipped, and whatever
// comes after the end of the options. Comments that are not in the recorder's form are
// those of people.
func (o *packetOptions) parse(b []byte, order byteOrder) error {
	for {
		code, value, rest, err := cutOption(b, order)
		switch {
		case err != nil:
			return err
		case code == optEnd && len(value) == 0:
			return nil
		case code == optPacketFlags && len(value) == 4:
			o.direction = order.Uint32(value) & 3
		case code == optComment:
			o.comment(string(value))
		case isTextOfOurs(value):
			return fmt.Errorf("%w: a comment as option %d", record.ErrMalformed, code)
		}
		b = rest
	}
}

// comment reads a comment, of the recorder or of somebody else.
func (o *packetOptions) comment(text string) {
	if c, ok := parseComment(text); !ok {
		resemble(&o.resembles, text)
	} else if len(o.comments) < maxComments {
		o.comments = append(o.comments, c)
	}
}

// isTextOfOurs reports whether the value of an option is a comment of the recorder, whose
// code is damaged.
func isTextOfOurs(value []byte) bool {
	if len(value) < len("gap conn=") || value[0] != 'c' && value[0] != 'g' {
		return false
	}
	_, ok := parseComment(string(value))
	return ok
}
