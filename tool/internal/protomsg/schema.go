package protomsg

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Schema knows services and the types of their messages. It is safe for concurrent use.
type Schema struct {
	files *protoregistry.Files
}

// Load reads .proto files, looking for what they import in their folders and in paths,
// and file descriptor sets (protoc --descriptor_set_out --include_imports). The error
// names the file that cannot be read.
func Load(ctx context.Context, protos, protosets, paths []string) (*Schema, error) {
	s := &Schema{files: new(protoregistry.Files)}
	for _, path := range protosets {
		if err := s.addSet(path); err != nil {
			return nil, fmt.Errorf("protoset %s: %w", path, err)
		}
	}
	for _, path := range protos {
		if err := s.compile(ctx, path, paths); err != nil {
			return nil, fmt.Errorf("proto %s: %w", path, err)
		}
	}
	return s, nil
}

func (s *Schema) addSet(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(data, &set); err != nil {
		return err
	}
	files, err := protodesc.NewFiles(&set)
	if err != nil {
		return err
	}
	var failed error
	files.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		failed = s.add(f)
		return failed == nil
	})
	return failed
}

// compile adds a file and what it imports.
func (s *Schema) compile(ctx context.Context, path string, paths []string) error {
	name := filepath.Base(path)
	for _, p := range paths {
		if rel, err := filepath.Rel(p, path); err == nil && !strings.HasPrefix(rel, "..") {
			name = filepath.ToSlash(rel) // imports of other files name it so
		}
	}
	compiler := protocompile.Compiler{
		Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: append([]string{filepath.Dir(path)}, paths...)}),
	}
	files, err := compiler.Compile(ctx, name)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := s.add(f); err != nil {
			return err
		}
	}
	return nil
}

// add registers a file and those that it imports.
func (s *Schema) add(f protoreflect.FileDescriptor) error {
	if _, err := s.files.FindFileByPath(f.Path()); err == nil {
		return nil
	}
	for i := range f.Imports().Len() {
		if err := s.add(f.Imports().Get(i).FileDescriptor); err != nil {
			return err
		}
	}
	return s.files.RegisterFile(f)
}

// Method returns the descriptor of a method; an error names the services that there are.
func (s *Schema) Method(service, method string) (protoreflect.MethodDescriptor, error) {
	d, err := s.files.FindDescriptorByName(protoreflect.FullName(service))
	if err == nil {
		if service, ok := d.(protoreflect.ServiceDescriptor); ok {
			if m := service.Methods().ByName(protoreflect.Name(method)); m != nil {
				return m, nil
			}
			return nil, fmt.Errorf("service %s has no method %q", service.FullName(), method)
		}
	}
	return nil, fmt.Errorf("no service %q is described, valid: %s", service, strings.Join(s.services(), ", "))
}

func (s *Schema) services() []string {
	var names []string
	s.files.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			names = append(names, string(f.Services().Get(i).FullName()))
		}
		return true
	})
	return names
}

// JSON returns a message of a type as JSON, over several lines if multiline.
func (s *Schema) JSON(data []byte, of protoreflect.MessageDescriptor, multiline bool) (string, error) {
	types := dynamicpb.NewTypes(s.files)
	m := dynamicpb.NewMessage(of)
	if err := (proto.UnmarshalOptions{Resolver: types}).Unmarshal(data, m); err != nil {
		return "", fmt.Errorf("a message of the type %s: %w", of.FullName(), err)
	}
	b, err := protojson.MarshalOptions{Multiline: multiline, Indent: indentOf(multiline), Resolver: types}.Marshal(m)
	return string(b), err
}

func indentOf(multiline bool) string {
	if multiline {
		return "  "
	}
	return ""
}
