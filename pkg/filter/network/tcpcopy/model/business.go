package model

import (
	"fmt"
	"strings"
)

// What the first implementation's lines in MOSN's log are found by. This one's have
// "[tcpcopy]" instead; the constants are here for code that uses them.
const (
	AlertDumpKey = "DUMP"
	LogDumpKey   = "[DUMP]"
)

// BusinessType names the piece of business that a portrait describes.
type BusinessType string

// The business types that the first implementation defined; an application may
// use others that pass Validate.
const (
	RPC           BusinessType = "RPC"
	CONFIGURATION BusinessType = "CONFIGURATION"
	STATE         BusinessType = "STATE"
)

// Validate refuses names that would break a line of the portrait log.
func (b BusinessType) Validate() error {
	if b == "" || len(b) > 64 || strings.ContainsFunc(string(b), func(r rune) bool {
		return r <= ' ' || r == '[' || r == ']' || r > '~'
	}) {
		return &FieldError{Field: "business_type", Value: string(b), Valid: fmt.Sprintf("1 … 64 printable ASCII characters without brackets, such as %s, %s, %s", RPC, CONFIGURATION, STATE)}
	}
	return nil
}

// DumpUploadDynamicConfig is what code written for the first implementation
// hands to the work pool: either flow bytes of a port or a portrait.
type DumpUploadDynamicConfig struct {
	SampleWindow   string // window that it was made for
	BusinessType   BusinessType
	Port           string // the listener's port
	BinaryFlowData []byte // not kept after Schedule has returned
	PortraitData   string // JSON
}

// NewDumpUploadDynamicConfig fills a DumpUploadDynamicConfig. It keeps flow.
func NewDumpUploadDynamicConfig(window string, business BusinessType, port string, flow []byte, portrait string) *DumpUploadDynamicConfig {
	return &DumpUploadDynamicConfig{
		SampleWindow:   window,
		BusinessType:   business,
		Port:           port,
		BinaryFlowData: flow,
		PortraitData:   portrait,
	}
}
