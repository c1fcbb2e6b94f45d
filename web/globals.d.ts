/** What browsers have and TypeScript's library of the DOM does not declare: the numbers behind WebGPU's flags. */
declare const GPUBufferUsage: Readonly<
  Record<
    "MAP_READ" | "MAP_WRITE" | "COPY_SRC" | "COPY_DST" | "UNIFORM" | "STORAGE" | "QUERY_RESOLVE",
    number
  >
>;
declare const GPUMapMode: Readonly<Record<"READ" | "WRITE", number>>;
declare const GPUShaderStage: Readonly<Record<"COMPUTE", number>>;
