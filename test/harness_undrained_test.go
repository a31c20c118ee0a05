package test

import (
	"encoding/binary"
	"encoding/hex"
	"io"
	"net"
)

// boltRequest is a request frame of SOFA's bolt protocol, version 1: a head of 22
// bytes, the class's name, the headers, the content.
func boltRequest(service string, content []byte) []byte {
	const class = "com.example.Request"
	var headers []byte
	for _, text := range []string{"service", service} {
		headers = binary.BigEndian.AppendUint32(headers, uint32(len(text)))
		headers = append(headers, text...)
	}
	frame, err := hex.DecodeString("01" + "01" + "0001" + "01" + "00000007" + "01" + "00001388") // protocol, request, command, version, number, codec, timeout in ms
	if err != nil {
		panic(err)
	}
	frame = binary.BigEndian.AppendUint16(frame, uint16(len(class)))
	frame = binary.BigEndian.AppendUint16(frame, uint16(len(headers)))
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(content)))
	frame = append(frame, class...)
	frame = append(frame, headers...)
	return append(frame, content...)
}

// answerBolt answers each bolt request with the same response, under the
// request's number.
func answerBolt(conn net.Conn) {
	const content = "cleared to land"
	for {
		var head [22]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return
		}
		rest := int64(binary.BigEndian.Uint16(head[14:])) + int64(binary.BigEndian.Uint16(head[16:])) + int64(binary.BigEndian.Uint32(head[18:]))
		if _, err := io.CopyN(io.Discard, conn, rest); err != nil {
			return
		}
		response := []byte{1, 0, 0, 2, 1} // protocol, response, command, version
		response = append(response, head[5:9]...)
		response = append(response, head[9], 0, 0, 0, 0, 0, 0) // codec, status, no class, no headers
		response = binary.BigEndian.AppendUint32(response, uint32(len(content)))
		if _, err := conn.Write(append(response, content...)); err != nil {
			return
		}
	}
}
