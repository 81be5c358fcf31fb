// The syntax tree of a template. The parser builds it, the scope analysis fills in where each name
// lives, the interpreter reads it; after that it never changes and any thread may use it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "chat/jinja_lexer.h"
#include "chat/jinja_ops.h"

namespace axk1::jinja {

// Where a variable lives: a slot of the frame `hops` functions further out.
struct SlotRef {
  uint32_t hops = 0;
  uint32_t slot = 0;
};

// How a scope sets up a slot when it is entered (Jinja2's idtracking).
struct Load {
  enum class Kind : uint8_t {
    kMissing,  // assigned later in this scope
    kResolve,  // from the render's variables, by name
    kAlias,    // the value that the same name has further out
  };
  uint32_t slot = 0;
  Kind kind = Kind::kMissing;
  std::string name;
  SlotRef outer;
};

struct ScopeInfo {
  std::vector<Load> loads;
  std::vector<uint32_t> slots;  // every slot of the scope, emptied when it is left
};

enum class ExprKind : uint8_t {
  kConst,
  kName,
  kNamespaceRef,
  kTuple,
  kList,
  kDict,
  kUnary,
  kBinary,
  kConcat,
  kCompare,
  kAnd,
  kOr,
  kConditional,
  kAttribute,
  kItem,
  kSlice,
  kCall,
  kFilter,
  kTest,
};

struct Expr {
  Expr(ExprKind k, Position where) : kind(k), at(where) {}
  virtual ~Expr() = default;
  const ExprKind kind;
  Position at;
  uint32_t height = 1;  // levels of the tree below and including this
};
using ExprPtr = std::unique_ptr<Expr>;

struct ConstExpr : Expr {
  ConstExpr(Position where, Value v) : Expr(ExprKind::kConst, where), value(std::move(v)) {}
  Value value;
};

struct NameExpr : Expr {
  NameExpr(Position where, std::string n) : Expr(ExprKind::kName, where), name(std::move(n)) {}
  std::string name;
  bool store = false;
  SlotRef ref;
};

struct NamespaceRefExpr : Expr {  // ns.attribute as the target of a set
  NamespaceRefExpr(Position where, std::string n, std::string a)
      : Expr(ExprKind::kNamespaceRef, where), name(std::move(n)), attribute(std::move(a)) {}
  std::string name;
  std::string attribute;
  SlotRef ref;
};

struct ListExpr : Expr {  // a tuple or a list
  using Expr::Expr;
  std::vector<ExprPtr> items;
};

struct DictExpr : Expr {
  explicit DictExpr(Position where) : Expr(ExprKind::kDict, where) {}
  std::vector<std::pair<ExprPtr, ExprPtr>> items;
};

enum class UnaryOp : uint8_t { kNot, kNegate, kPositive };
struct UnaryExpr : Expr {
  UnaryExpr(Position where, UnaryOp o) : Expr(ExprKind::kUnary, where), op(o) {}
  UnaryOp op;
  ExprPtr operand;
};

struct BinaryExpr : Expr {
  BinaryExpr(Position where, BinaryOp o) : Expr(ExprKind::kBinary, where), op(o) {}
  BinaryOp op;
  ExprPtr left, right;
};

struct LogicExpr : Expr {  // and, or
  using Expr::Expr;
  ExprPtr left, right;
};

struct ConcatExpr : Expr {
  explicit ConcatExpr(Position where) : Expr(ExprKind::kConcat, where) {}
  std::vector<ExprPtr> parts;
};

struct CompareExpr : Expr {  // first op operand op operand ...
  explicit CompareExpr(Position where) : Expr(ExprKind::kCompare, where) {}
  ExprPtr first;
  std::vector<std::pair<CompareOp, ExprPtr>> rest;
};

struct ConditionalExpr : Expr {
  explicit ConditionalExpr(Position where) : Expr(ExprKind::kConditional, where) {}
  ExprPtr test, then, otherwise;  // otherwise may be null
};

struct AttributeExpr : Expr {
  AttributeExpr(Position where, std::string n)
      : Expr(ExprKind::kAttribute, where), name(std::move(n)) {}
  ExprPtr object;
  std::string name;
};

struct ItemExpr : Expr {
  explicit ItemExpr(Position where) : Expr(ExprKind::kItem, where) {}
  ExprPtr object, key;
};

struct SliceExpr : Expr {
  explicit SliceExpr(Position where) : Expr(ExprKind::kSlice, where) {}
  ExprPtr object, start, stop, step;  // the bounds may be null
};

struct CallArgs {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr more_positional, more_named;  // *args and **kwargs, or null
};

struct CallExpr : Expr {
  explicit CallExpr(Position where) : Expr(ExprKind::kCall, where) {}
  ExprPtr callee;
  CallArgs args;
};

struct FilterExpr : Expr {  // a filter or a test
  FilterExpr(ExprKind k, Position where, std::string n) : Expr(k, where), name(std::move(n)) {}
  ExprPtr value;  // null: the text of the block the filter stands for
  std::string name;
  CallArgs args;
};

enum class StmtKind : uint8_t {
  kText,
  kOutput,
  kIf,
  kFor,
  kSet,
  kSetBlock,
  kMacro,
  kCall,
  kFilter,
  kWith,  // with, generation, autoescape
  kBlock,
  kBreak,
  kContinue,
};

struct Stmt {
  Stmt(StmtKind k, Position where) : kind(k), at(where) {}
  virtual ~Stmt() = default;
  const StmtKind kind;
  Position at;
};
using StmtPtr = std::unique_ptr<Stmt>;
using Body = std::vector<StmtPtr>;

struct TextStmt : Stmt {
  TextStmt(Position where, std::string t) : Stmt(StmtKind::kText, where), text(std::move(t)) {}
  std::string text;
};

struct OutputStmt : Stmt {
  OutputStmt(Position where, ExprPtr e) : Stmt(StmtKind::kOutput, where), value(std::move(e)) {}
  ExprPtr value;
};

struct IfStmt : Stmt {
  explicit IfStmt(Position where) : Stmt(StmtKind::kIf, where) {}
  std::vector<std::pair<ExprPtr, Body>> branches;  // if, elif, ...
  Body otherwise;
};

struct FunctionInfo {
  uint32_t num_slots = 0;
};

struct ForStmt : Stmt {
  explicit ForStmt(Position where) : Stmt(StmtKind::kFor, where) {}
  ExprPtr target, iterable, test;
  ExprPtr test_target;  // the target once more, in the scope of the test
  bool recursive = false;
  Body body, otherwise;
  ScopeInfo body_scope, else_scope, test_scope;
  uint32_t loop_slot = 0;
  FunctionInfo function;  // of the body, when recursive
};

struct SetStmt : Stmt {
  explicit SetStmt(Position where) : Stmt(StmtKind::kSet, where) {}
  ExprPtr target, value;
  bool exported = false;  // at the top level: blocks see it
};

struct SetBlockStmt : Stmt {
  explicit SetBlockStmt(Position where) : Stmt(StmtKind::kSetBlock, where) {}
  ExprPtr target, filter;  // the filter may be null
  Body body;
  ScopeInfo scope;
  bool exported = false;
};

// A macro, or the body of a call block as the macro `caller`.
struct MacroStmt : Stmt {
  MacroStmt(StmtKind k, Position where) : Stmt(k, where) {}
  std::string name;  // empty for a call block
  std::vector<std::unique_ptr<NameExpr>> params;
  std::vector<ExprPtr> defaults;  // of the last params
  Body body;
  ExprPtr call;  // of a call block
  SlotRef ref;   // where the macro is stored
  bool exported = false;
  ScopeInfo scope;
  FunctionInfo function;
  std::optional<uint32_t> caller_slot, kwargs_slot, varargs_slot;
};

struct FilterStmt : Stmt {
  explicit FilterStmt(Position where) : Stmt(StmtKind::kFilter, where) {}
  ExprPtr filter;
  Body body;
  ScopeInfo scope;
};

struct WithStmt : Stmt {
  explicit WithStmt(Position where) : Stmt(StmtKind::kWith, where) {}
  std::vector<std::pair<ExprPtr, ExprPtr>> bindings;  // target, value
  ExprPtr autoescape;                                 // must be false when given
  Body body;
  ScopeInfo scope;
};

struct BlockStmt : Stmt {
  explicit BlockStmt(Position where) : Stmt(StmtKind::kBlock, where) {}
  std::string name;
  Body body;
  ScopeInfo scope;
  FunctionInfo function;
};

struct Template {
  Body body;
  ScopeInfo scope;
  FunctionInfo function;
  bool has_blocks = false;
  std::set<std::string> free_names;  // what the template takes from the render's variables
};

}  // namespace axk1::jinja
