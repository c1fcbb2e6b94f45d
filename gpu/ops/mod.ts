export * from "./add.ts";
export * from "./views.ts";
