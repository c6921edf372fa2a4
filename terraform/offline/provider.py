#!/usr/bin/env python3
"""provider.py SCHEMA.json SOCKET: serves the AWS provider's schema to terraform (plugin protocol 6); creates nothing.

With it `terraform validate`, and `terraform test` with a mocked provider, run where the registry cannot be reached. It
knows names, types, required arguments and what only AWS can fill in; it does not know which values AWS takes.

Prints what TF_REATTACH_PROVIDERS must be, once it answers, and serves until it is killed.
"""
import json
import os
import pathlib
import sys
from concurrent import futures

import grpc
import msgpack
from tf.gen import grpc_controller_pb2, grpc_controller_pb2_grpc
from tf.gen import grpc_stdio_pb2_grpc
from tf.gen import tfplugin_pb2 as wire
from tf.gen import tfplugin_pb2_grpc

NAME = "registry.terraform.io/hashicorp/aws"
NESTING = {"single": 1, "list": 2, "set": 3, "map": 4}
# What a configuration may set and AWS fills in otherwise. The schema file does not tell these from the others.
MAY_BE_COMPUTED = {
    "arn", "availability_zone", "id", "name", "private_ip", "public_ip", "region", "subnet_id", "tags_all", "vpc_id",
}
UNKNOWN = msgpack.ExtType(0, b"\x00")


def wrapped(nesting, of):
    """The type of a nested block or attribute."""
    return of if nesting == "single" else [nesting, of]


def plain(of):
    """A type without "dynamic" inside: terraform allows that only at the top."""
    if of == "dynamic":
        return "string"
    return [of[0], plain(of[1])] if isinstance(of, list) and of[0] != "object" else of


def object_type(block):
    """The type of a block as an attribute's."""
    fields = {}
    for name, attribute in block["attributes"].items():
        nested = attribute.get("nested")
        fields[name] = wrapped(attribute["nesting"], object_type(nested)) if nested else plain(attribute["type"])
    for name, inner in block["block_types"].items():
        fields[name] = wrapped(inner["nesting"], object_type(inner["block"]))
    return ["object", fields]


def block_message(block, top=True):
    """A block of the schema, as terraform takes it."""
    message = wire.Schema.Block()
    for name, attribute in block["attributes"].items():
        if "nested" in attribute:
            of = wrapped(attribute["nesting"], object_type(attribute["nested"]))
        else:
            of = attribute["type"] if top else plain(attribute["type"])
        added = message.attributes.add(name=name, type=json.dumps(of).encode())
        if attribute.get("computed_only"):
            added.computed = True
        elif attribute.get("required"):
            added.required = True
        else:
            added.optional = True
            added.computed = name in MAY_BE_COMPUTED
    for name, inner in block["block_types"].items():
        added = message.block_types.add(type_name=name, nesting=NESTING[inner["nesting"]])
        added.block.CopyFrom(block_message(inner["block"], top=False))
        if inner["required"] and inner["nesting"] in ("list", "set"):
            added.min_items = 1
    return message


def schema_answer(schema):
    """The whole schema, as terraform takes it."""
    answer = wire.GetProviderSchema.Response(provider=wire.Schema(block=block_message(schema["provider"])))
    for kind in ("resource_schemas", "data_source_schemas"):
        for name, block in schema[kind].items():
            getattr(answer, kind)[name].CopyFrom(wire.Schema(block=block_message(block)))
    return answer


class Provider(tfplugin_pb2_grpc.ProviderServicer):
    """Answers what validating and planning ask; every value is as good as another."""

    def __init__(self, schema):
        self.schema = schema
        self.answer = schema_answer(schema)

    def GetMetadata(self, request, context):
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "ask for the schema")

    def GetProviderSchema(self, request, context):
        return self.answer

    def ValidateProviderConfig(self, request, context):
        return wire.ValidateProviderConfig.Response()

    def ValidateResourceConfig(self, request, context):
        return wire.ValidateResourceConfig.Response()

    def ValidateDataResourceConfig(self, request, context):
        return wire.ValidateDataResourceConfig.Response()

    def ConfigureProvider(self, request, context):
        return wire.ConfigureProvider.Response()

    def GetFunctions(self, request, context):
        return wire.GetFunctions.Response()

    def PlanResourceChange(self, request, context):
        proposed = request.proposed_new_state
        if proposed.msgpack == b"\xc0":
            return wire.PlanResourceChange.Response(planned_state=proposed)
        state = msgpack.unpackb(proposed.msgpack, strict_map_key=False, ext_hook=msgpack.ExtType)
        for name, attribute in self.schema["resource_schemas"][request.type_name]["attributes"].items():
            if state.get(name) is None and (attribute.get("computed_only") or name in MAY_BE_COMPUTED):
                state[name] = UNKNOWN
        planned = wire.DynamicValue(msgpack=msgpack.packb(state))
        return wire.PlanResourceChange.Response(planned_state=planned)

    def StopProvider(self, request, context):
        return wire.StopProvider.Response()


class Controller(grpc_controller_pb2_grpc.GRPCControllerServicer):
    """Terraform asks a plugin to end; this one is ended by whoever started it."""

    def Shutdown(self, request, context):
        return grpc_controller_pb2.Empty()


class Stdio(grpc_stdio_pb2_grpc.GRPCStdioServicer):
    """A plugin's output, of which there is none."""

    def StreamStdio(self, request, context):
        return iter(())


def main():
    schema = json.loads(pathlib.Path(sys.argv[1]).read_text())
    socket = os.path.abspath(sys.argv[2])
    server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.max_send_message_length", -1)])
    tfplugin_pb2_grpc.add_ProviderServicer_to_server(Provider(schema), server)
    grpc_controller_pb2_grpc.add_GRPCControllerServicer_to_server(Controller(), server)
    grpc_stdio_pb2_grpc.add_GRPCStdioServicer_to_server(Stdio(), server)
    server.add_insecure_port("unix://" + socket)
    server.start()
    reattach = {
        NAME: {
            "Protocol": "grpc",
            "ProtocolVersion": 6,
            "Pid": os.getpid(),
            "Test": True,
            "Addr": {"Network": "unix", "String": socket},
        }
    }
    print(json.dumps(reattach), flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
