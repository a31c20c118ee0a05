package hexlog

// notHex marks bytes that are no lower- or upper-case digits in hexValues.
const notHex = 0x80

// hexValues holds the value of each hex digit.
var hexValues = func() (t [256]byte) {
	for c := range t {
		t[c] = notHex
	}
	for i := range 10 {
		t['0'+i] = byte(i)
	}
	for i := range 6 {
		t['a'+i], t['A'+i] = byte(10+i), byte(10+i)
	}
	return t
}()

// appendDecodedHex appends the bytes that text spells as two digits each, with
// one space between them. at is the index in text of the first byte that does
// not fit, or len(text). The last byte may be without the space after it.
func appendDecodedHex(dst, text []byte) (_ []byte, at int) {
	n := (len(text) + 1) / 3
	start := len(dst)
	dst = grow(dst, n)
	out := dst[start : start+n]
	in := text
	i := 0
	for ; i+4 <= len(out) && len(in) >= 12; i += 4 {
		w := in[:12:12]
		a0, a1 := hexValues[w[0]], hexValues[w[1]]
		b0, b1 := hexValues[w[3]], hexValues[w[4]]
		c0, c1 := hexValues[w[6]], hexValues[w[7]]
		d0, d1 := hexValues[w[9]], hexValues[w[10]]
		spaces := (w[2] ^ ' ') | (w[5] ^ ' ') | (w[8] ^ ' ') | (w[11] ^ ' ')
		if (a0|a1|b0|b1|c0|c1|d0|d1)&notHex != 0 || spaces != 0 {
			break
		}
		o := out[i : i+4 : i+4]
		o[0], o[1], o[2], o[3] = a0<<4|a1, b0<<4|b1, c0<<4|c1, d0<<4|d1
		in = in[12:]
	}
	for ; i < len(out); i++ {
		hi, lo := hexValues[in[0]], hexValues[in[1]]
		if (hi|lo)&notHex != 0 {
			break
		}
		out[i] = hi<<4 | lo
		if len(in) == 2 {
			in = in[2:]
			i++
			break
		}
		if in[2] != ' ' {
			i++
			in = in[2:]
			break
		}
		in = in[3:]
	}
	return dst[:start+i], len(text) - len(in)
}
