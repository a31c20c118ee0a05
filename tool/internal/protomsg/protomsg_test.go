package protomsg_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"mosn.io/tcpcopy/tool/internal/protomsg"
)

const shop = `
syntax = "proto3";
package shop;
import "google/protobuf/any.proto";
import "money.proto";
message Item { string sku = 1; oneof kind { string gift = 2; bool digital = 3; } map<string, Item> parts = 4; money.Money price = 5; }
message Cart { repeated Item items = 1; google.protobuf.Any extra = 2; }
service Carts { rpc Put(Cart) returns (Item); rpc Get(Item) returns (Cart); }
`

// load returns the schema of shop.
func load(t *testing.T) *protomsg.Schema {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"shop.proto": shop, "money.proto": "syntax = \"proto3\"; package money; message Money { int64 units = 1; }",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := protomsg.Load(context.Background(), []string{filepath.Join(dir, "shop.proto")}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// bytesField returns field n with value.
func bytesField(n protowire.Number, value ...string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, n, protowire.BytesType), strings.Join(value, ""))
}

func numberField(n protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), v)
}

// What an Any has is shown: with its type where that is described or well known, else as
// bytes. Fields that the types do not have are named, wherever they are.
func TestJSON(t *testing.T) {
	s := load(t)
	put, err := s.Method("shop.Carts", "Put")
	if err != nil {
		t.Fatal(err)
	}
	text, err := anypb.New(wrapperspb.String("hello"))
	if err != nil {
		t.Fatal(err)
	}
	anyOf := func(url string, value []byte) string {
		b, err := proto.Marshal(&anypb.Any{TypeUrl: url, Value: value})
		if err != nil {
			t.Fatal(err)
		}
		return string(bytesField(2, string(b)))
	}
	for _, c := range []struct {
		name, message, want string
		unknown             []string
	}{
		{"a type that everybody has", anyOf(text.TypeUrl, text.Value), `{"extra":{"@type":"type.googleapis.com/google.protobuf.StringValue","value":"hello"}}`, nil},
		{"a type that is described", anyOf("x/shop.Item", append(bytesField(1, "a"), numberField(9, 1)...)), `{"extra":{"@type":"x/shop.Item","sku":"a"}}`, []string{"extra.9"}},
		{"a type that is not described", anyOf("type.googleapis.com/other.Thing", []byte{8, 1}), `{"extra":{"@type":"type.googleapis.com/other.Thing","@value":"CAE="}}`, nil},
		{"a type whose bytes are not of it", anyOf("x/shop.Item", []byte{0xff}), `{"extra":{"@type":"x/shop.Item","@value":"/w=="}}`, nil},
		{"one in another", anyOf("x/shop.Cart", []byte(anyOf("x/y.Z", []byte{8, 1}))), `{"extra":{"@type":"x/shop.Cart","extra":{"@type":"x/y.Z","@value":"CAE="}}}`, nil},
		{
			"fields that are not described",
			string(bytesField(1, string(numberField(3, 1)), string(numberField(12, 7)), string(bytesField(5, string(numberField(2, 1)))))) + string(numberField(99, 1)) + string(numberField(99, 2)),
			`{"items":[{"digital":true,"price":{}}]}`, []string{"99", "items[0].12", "items[0].price.2"},
		},
		{
			"a map", string(bytesField(1, string(bytesField(4, string(bytesField(1, "k")), string(bytesField(2, string(numberField(8, 1)))))))),
			`{"items":[{"parts":{"k":{}}}]}`, []string{"items[0].parts[k].8"},
		},
	} {
		got, unknown, err := s.JSON([]byte(c.message), put.Input(), false)
		slices.Sort(unknown)
		if err != nil || compactJSON(t, got) != c.want || !slices.Equal(unknown, c.unknown) {
			t.Errorf("%s: %s, fields %v, error %v; want %s, fields %v", c.name, got, unknown, err, c.want, c.unknown)
		}
	}
	if got, _, err := s.JSON([]byte{0x0a, 9}, put.Input(), false); err == nil || !strings.Contains(err.Error(), "shop.Cart") {
		t.Errorf("bytes that are no message: %s, %v", got, err)
	}
}

// compactJSON returns JSON without the blanks that protojson adds at random.
func compactJSON(t *testing.T, text string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Errors name what there is.
func TestMethod(t *testing.T) {
	s := load(t)
	for _, c := range [][3]string{
		{"shop.Cart", "Put", `no service "shop.Cart" is described, valid: shop.Carts`},
		{"shop.Carts", "Take", `service shop.Carts has no method "Take", valid: Put, Get`},
	} {
		if _, err := s.Method(c[0], c[1]); err == nil || err.Error() != c[2] {
			t.Errorf("%s/%s: %v, want %s", c[0], c[1], err, c[2])
		}
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "none.proto")
	if err := os.WriteFile(path, []byte("syntax = \"proto3\";"), 0o600); err != nil {
		t.Fatal(err)
	}
	none, err := protomsg.Load(context.Background(), []string{path}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := none.Method("shop.Carts", "Put"); err == nil || !strings.Contains(err.Error(), "no services at all") {
		t.Errorf("a file without services: %v", err)
	}
}

// A message in a message is shown as one although its tag and its length may be characters of text.
func TestTree(t *testing.T) {
	id := "550e8400-e29b-41d4-a716-446655440000" // its length is a dollar sign
	for _, c := range []struct{ name, message, want string }{
		{"an identifier in a message", string(bytesField(2, string(bytesField(1, id)))), "2 {\n  1: \"" + id + "\"\n}\n"},
		{"short text in a message", string(bytesField(2, string(bytesField(1, "nine char")))), "2 {\n  1: \"nine char\"\n}\n"},
		{"text", string(bytesField(2, id)), "2: \"" + id + "\"\n"},
		{"text that could be a message", string(bytesField(2, "P0")), "2: \"P0\"\n"},
		{"lines", string(bytesField(2, "\nfirst\nsecond\n")), "2: \"\\nfirst\\nsecond\\n\"\n"},
		{"a negative number", string(numberField(3, 1<<64-2)), "3: -2 (or 18446744073709551614)\n"},
		{"nothing", string(bytesField(3)), "3: \"\"\n"},
	} {
		if got, err := protomsg.Tree([]byte(c.message)); err != nil || got != c.want {
			t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.want)
		}
	}
	for _, text := range []string{"\x00", "\x0a\x05a", "\x0c", "hello, world"} {
		if got, err := protomsg.Tree([]byte(text)); err == nil {
			t.Errorf("%q is a message: %s", text, got)
		}
	}
}
