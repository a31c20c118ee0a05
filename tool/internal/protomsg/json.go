package protomsg

import (
	"fmt"
	"slices"
	"strconv"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"

	// What messages of the type Any have most, whether their descriptors were given or not.
	_ "google.golang.org/protobuf/types/known/durationpb"
	_ "google.golang.org/protobuf/types/known/emptypb"
	_ "google.golang.org/protobuf/types/known/fieldmaskpb"
	_ "google.golang.org/protobuf/types/known/structpb"
	_ "google.golang.org/protobuf/types/known/timestamppb"
	_ "google.golang.org/protobuf/types/known/wrapperspb"
)

// JSON returns a message of a type as JSON, over several lines if multiline. unknown are the paths of the
// fields that the type does not have, such as "items[0].12": they are not in the JSON. An Any
// whose type is not described has its bytes in "@value", as grpcurl has them.
func (s *Schema) JSON(data []byte, of protoreflect.MessageDescriptor, multiline bool) (text string, unknown []string, err error) {
	w := walk{types: dynamicpb.NewTypes(s.files), opaque: map[protoreflect.FullName]protoreflect.MessageType{}}
	m := dynamicpb.NewMessage(of)
	if err := (proto.UnmarshalOptions{Resolver: &w, AllowPartial: true}).Unmarshal(data, m); err != nil {
		return "", nil, fmt.Errorf("a message of the type %s: %w", of.FullName(), err)
	}
	if err := w.message(m, ""); err != nil {
		return "", nil, fmt.Errorf("a message of the type %s: %w", of.FullName(), err)
	}
	b, err := protojson.MarshalOptions{Multiline: multiline, Indent: indentOf(multiline), Resolver: &w, AllowPartial: true}.Marshal(m)
	return string(b), w.unknown, err
}

func indentOf(multiline bool) string {
	if multiline {
		return "  "
	}
	return ""
}

// walk goes through a message: it collects the fields that are not known, and gives each Any whose type is
// not known one that has its bytes. It resolves the types of all of them.
type walk struct {
	types   *dynamicpb.Types
	opaque  map[protoreflect.FullName]protoreflect.MessageType // made by opaqueType
	unknown []string
}

// mostUnknown bounds the paths of unknown fields that are listed.
const mostUnknown = 32

func (w *walk) message(m protoreflect.Message, path string) error {
	for b := m.GetUnknown(); len(b) > 0 && len(w.unknown) < mostUnknown; {
		number, _, n := protowire.ConsumeField(b)
		if n < 0 {
			break
		}
		b = b[n:]
		if field := path + strconv.Itoa(int(number)); !slices.Contains(w.unknown, field) {
			w.unknown = append(w.unknown, field)
		}
	}
	if m.Descriptor().FullName() == anyName {
		return w.any(m, path)
	}
	var failed error
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		name := path + string(f.Name())
		switch {
		case f.IsMap() && f.MapValue().Message() != nil:
			v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				failed = w.message(v.Message(), fmt.Sprintf("%s[%v].", name, k))
				return failed == nil
			})
		case f.IsList() && f.Message() != nil:
			for i := 0; i < v.List().Len() && failed == nil; i++ {
				failed = w.message(v.List().Get(i).Message(), fmt.Sprintf("%s[%d].", name, i))
			}
		case !f.IsMap() && !f.IsList() && f.Message() != nil:
			failed = w.message(v.Message(), name+".")
		}
		return failed == nil
	})
	return failed
}

const anyName = protoreflect.FullName("google.protobuf.Any")

// The fields of an Any (google/protobuf/any.proto).
const (
	anyURL   = protoreflect.FieldNumber(1)
	anyValue = protoreflect.FieldNumber(2)
)

// any goes through the message in an Any.
func (w *walk) any(m protoreflect.Message, path string) error {
	fields := m.Descriptor().Fields()
	url, value := m.Get(fields.ByNumber(anyURL)).String(), m.Get(fields.ByNumber(anyValue)).Bytes()
	if url == "" {
		return nil // protojson says what is wrong with a value without a type
	}
	var inside []byte
	t, err := w.known(url)
	if err == nil {
		of := t.New()
		if err = (proto.UnmarshalOptions{Resolver: w, AllowPartial: true}).Unmarshal(value, of.Interface()); err == nil {
			if err := w.message(of, path); err != nil {
				return err
			}
			inside, err = proto.MarshalOptions{AllowPartial: true}.Marshal(of.Interface())
		}
	}
	if err != nil {
		name := (&anypb.Any{TypeUrl: url}).MessageName()
		if !name.IsValid() {
			return fmt.Errorf("an Any of the type %q, which is no name of a type", url)
		}
		if _, ok := w.opaque[name]; !ok {
			if w.opaque[name], err = opaqueType(name); err != nil {
				return err
			}
		}
		inside = protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), value)
	}
	m.Set(fields.ByNumber(anyValue), protoreflect.ValueOfBytes(inside))
	return nil
}

// opaqueType returns a type with a name whose only field is the bytes of a message.
func opaqueType(name protoreflect.FullName) (protoreflect.MessageType, error) {
	f := &descriptorpb.FileDescriptorProto{
		Name: proto.String("opaque.proto"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{
			Name: proto.String(string(name.Name())),
			Field: []*descriptorpb.FieldDescriptorProto{{
				Name: proto.String("value"), JsonName: proto.String("@value"), Number: proto.Int32(1),
				Type:  descriptorpb.FieldDescriptorProto_TYPE_BYTES.Enum(),
				Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
			}},
		}},
	}
	if parent := name.Parent(); parent != "" {
		f.Package = proto.String(string(parent))
	}
	file, err := protodesc.NewFile(f, nil)
	if err != nil {
		return nil, fmt.Errorf("an Any of the type %s: %w", name, err)
	}
	return dynamicpb.NewMessageType(file.Messages().Get(0)), nil
}

// known returns the type of an Any that is described, or one of those that everybody has.
func (w *walk) known(url string) (protoreflect.MessageType, error) {
	if t, err := w.types.FindMessageByURL(url); err == nil {
		return t, nil
	}
	return protoregistry.GlobalTypes.FindMessageByURL(url)
}

// FindMessageByURL implements protoregistry.MessageTypeResolver.
func (w *walk) FindMessageByURL(url string) (protoreflect.MessageType, error) {
	if t, ok := w.opaque[(&anypb.Any{TypeUrl: url}).MessageName()]; ok {
		return t, nil
	}
	return w.known(url)
}

// FindMessageByName implements protoregistry.MessageTypeResolver.
func (w *walk) FindMessageByName(name protoreflect.FullName) (protoreflect.MessageType, error) {
	return w.FindMessageByURL(string(name))
}

// FindExtensionByName implements protoregistry.ExtensionTypeResolver.
func (w *walk) FindExtensionByName(name protoreflect.FullName) (protoreflect.ExtensionType, error) {
	return w.types.FindExtensionByName(name)
}

// FindExtensionByNumber implements protoregistry.ExtensionTypeResolver.
func (w *walk) FindExtensionByNumber(of protoreflect.FullName, number protoreflect.FieldNumber) (protoreflect.ExtensionType, error) {
	return w.types.FindExtensionByNumber(of, number)
}
