package protomsg

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
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
			return nil, fmt.Errorf("service %s has no method %q, valid: %s", service.FullName(), method, strings.Join(methods(service), ", "))
		}
	}
	names := s.services()
	if len(names) == 0 {
		return nil, fmt.Errorf("no service %q is described: the files that were given have no services at all", service)
	}
	return nil, fmt.Errorf("no service %q is described, valid: %s", service, strings.Join(names, ", "))
}

func (s *Schema) services() []string {
	var names []string
	s.files.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			names = append(names, string(f.Services().Get(i).FullName()))
		}
		return true
	})
	slices.Sort(names)
	return names
}

func methods(service protoreflect.ServiceDescriptor) []string {
	names := []string{}
	for i := range service.Methods().Len() {
		names = append(names, string(service.Methods().Get(i).Name()))
	}
	return names
}
