#include "chat/jinja_scope.h"

#include <map>

#include "base/check.h"
#include "chat/jinja_ast_walk.h"

namespace axk1::jinja {
namespace {

struct FunctionScope {
  FunctionInfo* info;
  FunctionScope* parent;
};

struct Place {
  FunctionScope* function = nullptr;
  uint32_t slot = 0;
};

// One scope while it is analysed. Its names lie in layers: the branches of an `if` are analysed
// each in a layer of its own, which is then merged.
class Scope {
 public:
  enum class Kind : uint8_t { kParameter, kResolve, kAlias, kUndefined };

  Scope(Scope* parent, FunctionScope* function) : parent_(parent), function_(function) {
    layers_.emplace_back();
  }

  FunctionScope* function() const { return function_; }

  std::optional<Place> find(const std::string& name) const {
    if (const std::optional<Place> own = find_own(name)) return own;
    return find_outer(name);
  }

  uint32_t declare_parameter(const std::string& name) {
    layers_.back().stores.insert(name);
    return define(name, {Kind::kParameter, {}, {}});
  }

  void store(const std::string& name) {
    layers_.back().stores.insert(name);
    if (find_own(name)) return;
    if (const std::optional<Place> outer = find_outer(name)) {
      define(name, {Kind::kAlias, {}, *outer});
    } else {
      define(name, {Kind::kUndefined, {}, {}});
    }
  }

  void load(const std::string& name) {
    if (!find(name)) define(name, {Kind::kResolve, name, {}});
  }

  void begin_branch() { layers_.emplace_back(); }

  struct Branch;
  Branch end_branch();
  void merge(std::vector<Branch> branches);

  SlotRef ref(const std::string& name) const {
    const std::optional<Place> place = find(name);
    AXK1_CHECK(place.has_value());
    return distance(*place);
  }

  ScopeInfo info() const {
    ScopeInfo out;
    for (const auto& [slot, how] : layers_[0].loads) {
      if (how.kind == Kind::kParameter) continue;
      Load load;
      load.slot = slot;
      load.kind = how.kind == Kind::kResolve ? Load::Kind::kResolve
                  : how.kind == Kind::kAlias ? Load::Kind::kAlias
                                             : Load::Kind::kMissing;
      load.name = how.name;
      if (how.kind == Kind::kAlias) load.outer = distance(how.outer);
      out.loads.push_back(std::move(load));
    }
    for (const auto& [name, slot] : slots_) out.slots.push_back(slot);
    return out;
  }

 private:
  struct How {
    Kind kind;
    std::string name;
    Place outer;
  };
  struct Layer {
    std::map<std::string, uint32_t> refs;
    std::map<uint32_t, How> loads;
    std::set<std::string> stores;
  };

  std::optional<Place> find_own(const std::string& name) const {
    for (auto layer = layers_.rbegin(); layer != layers_.rend(); ++layer) {
      const auto found = layer->refs.find(name);
      if (found != layer->refs.end()) return Place{function_, found->second};
    }
    return std::nullopt;
  }
  std::optional<Place> find_outer(const std::string& name) const {
    return parent_ ? parent_->find(name) : std::nullopt;
  }

  uint32_t define(const std::string& name, How how) {
    const auto [it, fresh] = slots_.try_emplace(name, function_->info->num_slots);
    if (fresh) ++function_->info->num_slots;
    layers_.back().refs[name] = it->second;
    layers_.back().loads[it->second] = std::move(how);
    return it->second;
  }

  SlotRef distance(const Place& place) const {
    SlotRef out;
    out.slot = place.slot;
    for (FunctionScope* f = function_; f != place.function; f = f->parent) ++out.hops;
    return out;
  }

  Scope* parent_;
  FunctionScope* function_;
  std::vector<Layer> layers_;
  std::map<std::string, uint32_t> slots_;
};

struct Scope::Branch {
  Layer layer;
};

Scope::Branch Scope::end_branch() {
  Branch branch{std::move(layers_.back())};
  layers_.pop_back();
  return branch;
}

// A name assigned in a branch may not have been assigned, so it starts with its outer value.
void Scope::merge(std::vector<Branch> branches) {
  std::set<std::string> conditional;
  for (const Branch& branch : branches) {
    for (const std::string& name : branch.layer.stores) {
      bool certain = false;
      for (const Layer& layer : layers_) certain = certain || layer.stores.contains(name);
      if (!certain) conditional.insert(name);
    }
  }
  Layer& into = layers_.back();
  for (Branch& branch : branches) {
    for (auto& [name, slot] : branch.layer.refs) into.refs[name] = slot;
    for (auto& [slot, how] : branch.layer.loads) into.loads[slot] = std::move(how);
    into.stores.merge(branch.layer.stores);
  }
  for (const std::string& name : conditional) {
    const uint32_t slot = find_own(name)->slot;
    if (const std::optional<Place> outer = find_outer(name)) {
      into.loads[slot] = {Kind::kAlias, {}, *outer};
    } else {
      into.loads[slot] = {Kind::kResolve, name, {}};
    }
  }
}

// Enters into `scope` the names that an expression or statement uses in this very scope.
void collect(Scope& scope, Expr& e) {
  if (e.kind == ExprKind::kName) {
    auto& name = static_cast<NameExpr&>(e);
    name.store ? scope.store(name.name) : scope.load(name.name);
  } else if (e.kind == ExprKind::kNamespaceRef) {
    scope.load(static_cast<NamespaceRefExpr&>(e).name);
  }
  for_each_child(e, [&](Expr& child) { collect(scope, child); });
}

void collect(Scope& scope, ExprPtr& e) {
  if (e) collect(scope, *e);
}

void collect_parameters(Scope& scope, Expr& target) {
  if (target.kind == ExprKind::kName) {
    scope.declare_parameter(static_cast<NameExpr&>(target).name);
  }
  for_each_child(target, [&](Expr& child) { collect_parameters(scope, child); });
}

void collect(Scope& scope, Body& body);

void collect_if(Scope& scope, IfStmt& node, size_t first, size_t last, Body* otherwise) {
  collect(scope, node.branches[first].first);
  std::vector<Scope::Branch> branches;
  scope.begin_branch();
  collect(scope, node.branches[first].second);
  branches.push_back(scope.end_branch());
  scope.begin_branch();
  for (size_t i = first + 1; i < last; ++i) collect_if(scope, node, i, i + 1, nullptr);
  branches.push_back(scope.end_branch());
  scope.begin_branch();
  if (otherwise) collect(scope, *otherwise);
  branches.push_back(scope.end_branch());
  scope.merge(std::move(branches));
}

void collect(Scope& scope, Body& body) {
  for (StmtPtr& s : body) {
    switch (s->kind) {
      case StmtKind::kText:
      case StmtKind::kBreak:
      case StmtKind::kContinue:
      case StmtKind::kBlock:
        break;
      case StmtKind::kOutput:
        collect(scope, static_cast<OutputStmt&>(*s).value);
        break;
      case StmtKind::kIf: {
        auto& node = static_cast<IfStmt&>(*s);
        collect_if(scope, node, 0, node.branches.size(), &node.otherwise);
        break;
      }
      case StmtKind::kFor:
        collect(scope, static_cast<ForStmt&>(*s).iterable);
        break;
      case StmtKind::kSet:
        collect(scope, static_cast<SetStmt&>(*s).value);
        collect(scope, static_cast<SetStmt&>(*s).target);
        break;
      case StmtKind::kSetBlock:
        collect(scope, static_cast<SetBlockStmt&>(*s).target);
        break;
      case StmtKind::kMacro:
        scope.store(static_cast<MacroStmt&>(*s).name);
        break;
      case StmtKind::kCall:
        collect(scope, static_cast<MacroStmt&>(*s).call);
        break;
      case StmtKind::kFilter:
        collect(scope, static_cast<FilterStmt&>(*s).filter);
        break;
      case StmtKind::kWith:
        for (auto& [target, value] : static_cast<WithStmt&>(*s).bindings) collect(scope, value);
        collect(scope, static_cast<WithStmt&>(*s).autoescape);
        break;
    }
  }
}

// Whether a body reads `name` anywhere, inner scopes included, before anything assigns it.
struct Mention {
  explicit Mention(std::string n) : name(std::move(n)) {}
  const std::string name;
  bool read = false;
  bool assigned = false;

  void visit(Expr& e) {
    if (e.kind == ExprKind::kName && static_cast<NameExpr&>(e).name == name) {
      if (static_cast<NameExpr&>(e).store) {
        assigned = true;
      } else {
        read = read || !assigned;
      }
    }
    for_each_child(e, [&](Expr& child) { visit(child); });
  }
  void visit(ExprPtr& e) {
    if (e) visit(*e);
  }
  void visit(Body& body) {
    for (StmtPtr& s : body) visit(*s);
  }
  void visit(Stmt& s) {
    switch (s.kind) {
      case StmtKind::kText:
      case StmtKind::kBreak:
      case StmtKind::kContinue:
      case StmtKind::kBlock:
        return;
      case StmtKind::kOutput:
        visit(static_cast<OutputStmt&>(s).value);
        return;
      case StmtKind::kIf: {
        auto& node = static_cast<IfStmt&>(s);
        for (auto& [test, body] : node.branches) {
          visit(test);
          visit(body);
        }
        visit(node.otherwise);
        return;
      }
      case StmtKind::kFor: {
        auto& node = static_cast<ForStmt&>(s);
        visit(node.target);
        visit(node.iterable);
        visit(node.body);
        visit(node.otherwise);
        visit(node.test);
        return;
      }
      case StmtKind::kSet:
        visit(static_cast<SetStmt&>(s).target);
        visit(static_cast<SetStmt&>(s).value);
        return;
      case StmtKind::kSetBlock:
        visit(static_cast<SetBlockStmt&>(s).target);
        visit(static_cast<SetBlockStmt&>(s).filter);
        visit(static_cast<SetBlockStmt&>(s).body);
        return;
      case StmtKind::kMacro:
      case StmtKind::kCall: {
        auto& node = static_cast<MacroStmt&>(s);
        visit(node.call);
        for (auto& param : node.params) visit(*param);
        for (ExprPtr& value : node.defaults) visit(value);
        visit(node.body);
        return;
      }
      case StmtKind::kFilter:
        visit(static_cast<FilterStmt&>(s).body);
        visit(static_cast<FilterStmt&>(s).filter);
        return;
      case StmtKind::kWith: {
        auto& node = static_cast<WithStmt&>(s);
        for (auto& [target, value] : node.bindings) {
          visit(target);
          visit(value);
        }
        visit(node.body);
        return;
      }
    }
  }
};

class Resolver {
 public:
  explicit Resolver(Template& tree) : tree_(tree) {}

  void run() {
    FunctionScope function{&tree_.function, nullptr};
    Scope scope(nullptr, &function);
    root_ = &scope;
    collect(scope, tree_.body);
    resolve(scope, tree_.body);
    tree_.scope = finish(scope);
  }

 private:
  void resolve(Scope& scope, Expr& e) {
    if (e.kind == ExprKind::kName) {
      auto& name = static_cast<NameExpr&>(e);
      name.ref = scope.ref(name.name);
    } else if (e.kind == ExprKind::kNamespaceRef) {
      auto& name = static_cast<NamespaceRefExpr&>(e);
      name.ref = scope.ref(name.name);
    }
    for_each_child(e, [&](Expr& child) { resolve(scope, child); });
  }
  void resolve(Scope& scope, ExprPtr& e) {
    if (e) resolve(scope, *e);
  }

  void resolve(Scope& scope, Body& body) {
    for (StmtPtr& s : body) resolve(scope, *s);
  }

  void resolve(Scope& scope, Stmt& s) {
    switch (s.kind) {
      case StmtKind::kText:
      case StmtKind::kBreak:
      case StmtKind::kContinue:
        return;
      case StmtKind::kOutput:
        resolve(scope, static_cast<OutputStmt&>(s).value);
        return;
      case StmtKind::kIf: {
        auto& node = static_cast<IfStmt&>(s);
        for (auto& [test, body] : node.branches) {
          resolve(scope, test);
          resolve(scope, body);
        }
        resolve(scope, node.otherwise);
        return;
      }
      case StmtKind::kFor:
        resolve_for(scope, static_cast<ForStmt&>(s));
        return;
      case StmtKind::kSet: {
        auto& node = static_cast<SetStmt&>(s);
        resolve(scope, node.value);
        resolve(scope, node.target);
        node.exported = &scope == root_ && tree_.has_blocks;
        return;
      }
      case StmtKind::kSetBlock: {
        auto& node = static_cast<SetBlockStmt&>(s);
        resolve(scope, node.target);
        node.exported = &scope == root_ && tree_.has_blocks;
        Scope inner(&scope, scope.function());
        collect(inner, node.body);
        collect(inner, node.filter);
        resolve(inner, node.body);
        resolve(inner, node.filter);
        node.scope = finish(inner);
        return;
      }
      case StmtKind::kMacro:
      case StmtKind::kCall:
        resolve_macro(scope, static_cast<MacroStmt&>(s));
        return;
      case StmtKind::kFilter: {
        auto& node = static_cast<FilterStmt&>(s);
        Scope inner(&scope, scope.function());
        collect(inner, node.body);
        collect(inner, node.filter);
        resolve(inner, node.body);
        resolve(inner, node.filter);
        node.scope = finish(inner);
        return;
      }
      case StmtKind::kWith: {
        auto& node = static_cast<WithStmt&>(s);
        resolve(scope, node.autoescape);
        for (auto& [target, value] : node.bindings) resolve(scope, value);
        Scope inner(&scope, scope.function());
        for (auto& [target, value] : node.bindings) collect_parameters(inner, *target);
        collect(inner, node.body);
        for (auto& [target, value] : node.bindings) resolve(inner, target);
        resolve(inner, node.body);
        node.scope = finish(inner);
        return;
      }
      case StmtKind::kBlock: {
        // A block sees the render's variables and what the top level has set, nothing else.
        auto& node = static_cast<BlockStmt&>(s);
        FunctionScope function{&node.function, nullptr};
        Scope inner(nullptr, &function);
        collect(inner, node.body);
        resolve(inner, node.body);
        node.scope = finish(inner);
        return;
      }
    }
  }

  void resolve_for(Scope& scope, ForStmt& node) {
    resolve(scope, node.iterable);
    FunctionScope own{&node.function, scope.function()};
    FunctionScope* function = node.recursive ? &own : scope.function();

    Scope body(&scope, function);
    node.loop_slot = body.declare_parameter("loop");
    collect_parameters(body, *node.target);
    collect(body, node.body);
    resolve(body, node.target);
    resolve(body, node.body);
    node.body_scope = finish(body);

    Scope otherwise(&scope, function);
    collect(otherwise, node.otherwise);
    resolve(otherwise, node.otherwise);
    node.else_scope = finish(otherwise);

    Scope test(&scope, function);
    collect_parameters(test, *node.test_target);
    collect(test, node.test);
    resolve(test, node.test_target);
    resolve(test, node.test);
    node.test_scope = finish(test);
  }

  void resolve_macro(Scope& scope, MacroStmt& node) {
    if (node.kind == StmtKind::kMacro) {
      node.ref = scope.ref(node.name);
      node.exported = &scope == root_ && tree_.has_blocks;
    } else {
      resolve(scope, node.call);
    }
    FunctionScope function{&node.function, scope.function()};
    Scope inner(&scope, &function);
    for (auto& param : node.params) inner.declare_parameter(param->name);
    declare_special(inner, node, "caller", node.caller_slot);
    declare_special(inner, node, "kwargs", node.kwargs_slot);
    declare_special(inner, node, "varargs", node.varargs_slot);
    for (ExprPtr& value : node.defaults) collect(inner, value);
    collect(inner, node.body);
    for (auto& param : node.params) param->ref = inner.ref(param->name);
    for (ExprPtr& value : node.defaults) resolve(inner, value);
    resolve(inner, node.body);
    node.scope = finish(inner);
  }

  // caller, kwargs and varargs exist in a macro that mentions them.
  static void declare_special(Scope& inner, MacroStmt& node, const std::string& name,
                              std::optional<uint32_t>& slot) {
    Mention mention(name);
    mention.visit(node.body);
    if (!mention.read) return;
    for (size_t i = 0; i < node.params.size(); ++i) {
      if (node.params[i]->name != name) continue;
      if (name == "caller" && i + node.defaults.size() < node.params.size()) {
        throw SyntaxError(node.at,
                          "When defining macros or call blocks the special \"caller\" argument "
                          "must be omitted or be given a default.");
      }
      return;
    }
    slot = inner.declare_parameter(name);
  }

  ScopeInfo finish(const Scope& scope) {
    ScopeInfo out = scope.info();
    for (const Load& load : out.loads) {
      if (load.kind == Load::Kind::kResolve) tree_.free_names.insert(load.name);
    }
    return out;
  }

  Template& tree_;
  Scope* root_ = nullptr;
};

}  // namespace

void resolve_scopes(Template& tree) {
  Resolver(tree).run();
}

}  // namespace axk1::jinja
