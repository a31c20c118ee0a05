package call

import (
	"encoding/json"
	"unicode/utf8"
)

// plain is a Call without methods.
type plain Call

// texts are the strings of c that come from the bytes of a connection.
func (c *plain) texts() []*string {
	return []*string{&c.Method, &c.Target, &c.Path, &c.Host, &c.Service, &c.Status}
}

// MarshalJSON returns c for a checkpoint. JSON has no text that is not valid UTF-8, which a target may be: Raw then has
// the bytes.
func (c Call) MarshalJSON() ([]byte, error) {
	state := struct {
		plain
		Raw [][]byte `json:",omitempty"`
	}{plain: plain(c)}
	valid := true
	for _, text := range state.texts() {
		valid = valid && utf8.ValidString(*text)
	}
	if !valid {
		for _, text := range state.texts() {
			state.Raw = append(state.Raw, []byte(*text))
		}
	}
	return json.Marshal(&state)
}

// UnmarshalJSON sets c to what MarshalJSON was called with.
func (c *Call) UnmarshalJSON(b []byte) error {
	var state struct {
		plain
		Raw [][]byte
	}
	if err := json.Unmarshal(b, &state); err != nil {
		return err
	}
	texts := state.texts()
	for i, raw := range state.Raw[:min(len(state.Raw), len(texts))] {
		*texts[i] = string(raw)
	}
	*c = Call(state.plain)
	return nil
}
