/**
 * The messages of an ONNX file: those parts of ONNX's public schema (`onnx.proto`, IR version 8) that are written here, with its names and
 * numbers, read by protobufjs.
 */

import protobuf from "protobufjs/light.js";

/** The version of the schema, and of the operators that are used. */
export const IR_VERSION = 8, OPSET = 17;

/** Types of elements, by the schema's numbers. */
export const ELEMENT = { float: 1, uint8: 2, int64: 7, float16: 10 } as const;
/** Where the values of a tensor lie. */
export const EXTERNAL = 1;
/** Types of attributes, by the schema's numbers. */
export const ATTRIBUTE = { float: 1, int: 2, string: 3, ints: 7 } as const;

/** A name with a value. */
export interface Entry {
  key: string;
  value: string;
}

/** A size of an axis, or the name of one that is free. */
export type Dimension = { dimValue: number } | { dimParam: string };

/** An input or output of a graph. */
export interface ValueInfo {
  name: string;
  type: { tensorType: { elemType: number; shape: { dim: Dimension[] } } };
}

/** One constant of an operator. */
export interface Attribute {
  name: string;
  type: number;
  f?: number;
  i?: number;
  s?: Uint8Array;
  ints?: readonly number[];
}

/** One use of an operator. */
export interface OnnxNode {
  opType: string;
  name: string;
  input: readonly string[];
  output: readonly string[];
  attribute: readonly Attribute[];
}

/** A stored tensor, with its values or with the place where they lie. */
export interface StoredTensor {
  name: string;
  dims: readonly number[];
  dataType: number;
  rawData?: Uint8Array;
  externalData?: readonly Entry[];
  dataLocation?: number;
}

/** What is computed. */
export interface OnnxGraph {
  name: string;
  node: readonly OnnxNode[];
  initializer: readonly StoredTensor[];
  input: readonly ValueInfo[];
  output: readonly ValueInfo[];
}

/** A whole file. */
export interface OnnxModel {
  irVersion: number;
  producerName: string;
  producerVersion: string;
  docString: string;
  graph?: OnnxGraph;
  opsetImport: readonly { domain: string; version: number }[];
  metadataProps: readonly Entry[];
}

const one = (type: string, id: number) => ({ type, id });
const many = (type: string, id: number) => ({ rule: "repeated", type, id });

const MESSAGES = {
  ModelProto: {
    irVersion: one("int64", 1),
    producerName: one("string", 2),
    producerVersion: one("string", 3),
    docString: one("string", 6),
    graph: one("GraphProto", 7),
    opsetImport: many("OperatorSetIdProto", 8),
    metadataProps: many("StringStringEntryProto", 14),
  },
  OperatorSetIdProto: { domain: one("string", 1), version: one("int64", 2) },
  StringStringEntryProto: { key: one("string", 1), value: one("string", 2) },
  GraphProto: {
    node: many("NodeProto", 1),
    name: one("string", 2),
    initializer: many("TensorProto", 5),
    input: many("ValueInfoProto", 11),
    output: many("ValueInfoProto", 12),
  },
  NodeProto: {
    input: many("string", 1),
    output: many("string", 2),
    name: one("string", 3),
    opType: one("string", 4),
    attribute: many("AttributeProto", 5),
  },
  AttributeProto: {
    name: one("string", 1),
    f: one("float", 2),
    i: one("int64", 3),
    s: one("bytes", 4),
    ints: many("int64", 8),
    type: one("int32", 20), // an enum, which is written alike
  },
  TensorProto: {
    dims: many("int64", 1),
    dataType: one("int32", 2),
    name: one("string", 8),
    rawData: one("bytes", 9),
    externalData: many("StringStringEntryProto", 13),
    dataLocation: one("int32", 14),
  },
  ValueInfoProto: { name: one("string", 1), type: one("TypeProto", 2) },
  TypeProto: { tensorType: one("TensorTypeProto", 1) },
  TensorTypeProto: { elemType: one("int32", 1), shape: one("TensorShapeProto", 2) },
  TensorShapeProto: { dim: many("DimensionProto", 1) },
  DimensionProto: { dimValue: one("int64", 1), dimParam: one("string", 2) },
};

const root = protobuf.Root.fromJSON({
  nested: Object.fromEntries(Object.entries(MESSAGES).map(([name, fields]) => [name, { fields }])),
});

/** The parts of a message that is encoded, or decoded. */
function codecOf<Message extends object>(name: string) {
  const type = root.lookupType(name);
  return {
    encode: (message: Message): Uint8Array => type.encode(type.create(message)).finish(),
    decode: (bytes: Uint8Array): Message =>
      type.toObject(type.decode(bytes), { longs: Number, arrays: true }) as Message,
  };
}

export const MODEL = codecOf<Partial<OnnxModel>>("ModelProto");
export const GRAPH = codecOf<Partial<OnnxGraph>>("GraphProto");
export const TENSOR = codecOf<StoredTensor>("TensorProto");

/** Numbers of the fields that are written piece by piece. */
export const FIELD = { graph: 7, initializer: 5, rawData: 9 } as const;

/** The head of a field of bytes: its number and their count. */
export function fieldHead(field: number, length: number): Uint8Array {
  return protobuf.Writer.create().uint32(field << 3 | 2).uint64(length).finish();
}
