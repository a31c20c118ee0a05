package witness

// Frame is a message of an RPC protocol, as MOSN's codecs see it. See test/mosncodec.
type Frame struct {
	Range     `json:"range"`    // in the bytes that were decoded
	Request   bool              `json:"request"`
	OneWay    bool              `json:"one_way"`
	Heartbeat bool              `json:"heartbeat"`
	ID        uint64            `json:"id"`
	Class     string            `json:"class"`
	Headers   map[string]string `json:"headers"` // with "service" and "method" where MOSN finds them
	Body      []byte            `json:"body"`
	Status    uint32            `json:"status"`
}

// CodecRequest asks test/mosncodec to encode frames and to decode bytes.
type CodecRequest struct {
	Protocol string  `json:"protocol"` // as MOSN calls it: "bolt", "boltv2", "dubbo", "dubbo-thrift", "tars"
	Encode   []Frame `json:"encode"`
	Decode   []byte  `json:"decode"`
}

// CodecResponse is the answer to a CodecRequest.
type CodecResponse struct {
	Encoded [][]byte `json:"encoded"` // of each frame
	Decoded []Frame  `json:"decoded"`
	Error   string   `json:"error"`
}
