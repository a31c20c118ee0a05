package kafka

import (
	_ "embed" // for the table
	"fmt"
	"strconv"
	"strings"
)

// api is a kind of request, with its answer.
type api struct {
	key      int16
	name     string
	max      int16 // newest version that is known
	flexible int16 // version from which on lengths are short and structures have tags

	request, answer []field
}

// field is a field of a message.
type field struct {
	kind byte
	role byte
	from int16 // first version that has it
	to   int16 // last one
	elem []field
}

// The kinds of fields. Those of a fixed size have the size as their kind.
const (
	kindUUID   = 'u'
	kindString = 's' // also nullable
	kindBytes  = 'y' // also nullable
	kindArray  = '[' // of structures; nullable or not
	kindList   = '<' // of other values
	kindStruct = '('
	kindOption = '{' // a structure that may be missing
)

// The roles of fields that matter.
const (
	roleTopic    = 'T' // a topic's name
	roleTopicID  = 'U' // a topic's number
	roleGroup    = 'G' // a group, or what else has a coordinator
	roleError    = 'E' // an error code
	roleAcks     = 'A' // how many brokers must have it before Produce is answered
	rolePassword = 'P'
	roleRecords  = 'B'
	roleResource = 'R' // the kind of a resource
	roleName     = 'N' // the name of a resource
)

// messages is the table of all messages and their versions. A line has: the key, the name, the newest
// version, the first flexible version or "-"; after a bar the fields of the
// request, after another those of the answer. Tagged fields are not there.
//
// A field has its role, if it has one; its kind: the size of a number, u, s, y, or the fields of a
// structure in brackets, or "<" and the kind of a list's elements; and the versions
// that have it, unless all do.
//
//go:embed messages.txt
var messages string

// apis has the lines of the table by their keys.
var apis = func() []*api {
	var all []*api
	for _, line := range strings.Split(strings.TrimSpace(messages), "\n") {
		head, rest, _ := strings.Cut(line, "|")
		request, answer, _ := strings.Cut(rest, "|")
		words := strings.Fields(head)
		a := &api{key: mustNumber(words[0]), name: words[1], max: mustNumber(words[2]), flexible: lastVersion}
		if words[3] != "-" {
			a.flexible = mustNumber(words[3])
		}
		t := tableParser{text: request}
		a.request = t.fields()
		t = tableParser{text: answer}
		a.answer = t.fields()
		if int(a.key) != len(all) {
			panic("the messages are not in order at " + line)
		}
		all = append(all, a)
	}
	return all
}()

// lastVersion stands for all later versions.
const lastVersion = 1<<15 - 1

// apiOf returns the api with a key; nil if it is not known.
func apiOf(key int16) *api {
	if key < 0 || int(key) >= len(apis) {
		return nil
	}
	return apis[key]
}

// nameOf returns the name of an api.
func nameOf(key int16) string {
	if a := apiOf(key); a != nil {
		return a.name
	}
	return "Api" + strconv.Itoa(int(key))
}

// tableParser parses the fields of the table, which is part of the program.
type tableParser struct {
	text string
}

// fields parses fields until their bracket ends, or the text.
func (t *tableParser) fields() []field {
	var all []field
	for {
		t.text = strings.TrimLeft(t.text, " ")
		if t.text == "" {
			return all
		}
		switch t.text[0] {
		case ']', ')', '}':
			t.text = t.text[1:]
			return all
		}
		all = append(all, t.field())
	}
}

func (t *tableParser) field() field {
	f := field{to: lastVersion}
	if c := t.next(); 'A' <= c && c <= 'Z' {
		f.role = c
		f.kind = t.next()
	} else {
		f.kind = c
	}
	switch f.kind {
	case kindArray, kindStruct, kindOption:
		f.elem = t.fields()
	case kindList:
		f.elem = []field{{kind: t.next(), role: f.role, to: lastVersion}}
		f.role = 0
	case '1', '2', '4', '8':
		f.kind -= '0'
	case kindUUID, kindString, kindBytes:
	default:
		panic(fmt.Sprintf("no kind of field: %q", f.kind))
	}
	if len(f.elem) == 1 && f.kind == kindList && f.elem[0].kind <= '9' {
		f.elem[0].kind -= '0'
	}
	if strings.HasPrefix(t.text, ":") {
		end := strings.IndexAny(t.text, " ])}")
		if end < 0 {
			end = len(t.text)
		}
		versions := t.text[1:end]
		t.text = t.text[end:]
		if from, ok := strings.CutSuffix(versions, "+"); ok {
			f.from = mustNumber(from)
		} else {
			from, to, _ := strings.Cut(versions, "-")
			f.from, f.to = mustNumber(from), mustNumber(to)
		}
	}
	return f
}

func (t *tableParser) next() byte {
	c := t.text[0]
	t.text = t.text[1:]
	return c
}

func mustNumber(s string) int16 {
	n, err := strconv.ParseInt(s, 10, 16)
	if err != nil {
		panic(err)
	}
	return int16(n)
}
